"""Agents in worker processes: contracts, the supervisor that enforces them, and the pool that runs it.

The supervisor and the pool are imported when they are first asked for: a worker process needs neither, and
its start time is what a killed worker's caller waits for.
"""

from importlib import import_module
from typing import TYPE_CHECKING

from .contract import Contract, ContractError
from .failure import Effect, Failure, failure

if TYPE_CHECKING:
    from .events import Assignment, Failed, Outcome, Succeeded

__all__ = [
    "Assignment",
    "Contract",
    "ContractError",
    "Effect",
    "Failed",
    "Failure",
    "Outcome",
    "Succeeded",
    "failure",
]
