"""What must hold of a run, whatever broke in it: each checker reads a history and says where it cannot be true."""

from hubless_sim.checkers.linearizability import (
    REJECTED,
    UNKNOWN,
    Operation,
    Specification,
    Verdict,
    check,
)
from hubless_sim.checkers.specifications import (
    Cancel,
    Outcome,
    Read,
    RegisterSpec,
    Result,
    Status,
    Submit,
    TaskSpec,
    Write,
)

__all__ = [
    "REJECTED",
    "UNKNOWN",
    "Cancel",
    "Operation",
    "Outcome",
    "Read",
    "RegisterSpec",
    "Result",
    "Specification",
    "Status",
    "Submit",
    "TaskSpec",
    "Verdict",
    "Write",
    "check",
]
