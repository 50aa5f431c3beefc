"""The contract of an agent: what goes in, what comes out, and what it may cost.

A contract is made in the worker (`signature.py` derives the schemas from type hints) and enforced outside
it, by the supervisor. It is a plain frozen struct, so that it can travel and be compared.
"""

import re
from typing import Final, Literal, get_args

import msgspec

Rung = Literal["fail", "retry", "kill", "quarantine"]
"""What a breach leads to: only the failure is reported; the same task again (rung 1); the process killed
and replaced by a warm spare (rung 2); the agent taken off this node for a while (rung 3)."""

Breach = Literal["schema", "raised", "deadline", "memory"]

DEFAULT_RUNGS: Final[dict[Breach, Rung]] = {
    "schema": "kill",
    "raised": "fail",
    "deadline": "kill",
    "memory": "kill",
}
# A task that holds its process beyond deadline or memory can only be stopped with the process.
ALLOWED_RUNGS: Final[dict[Breach, tuple[Rung, ...]]] = {
    "schema": ("fail", "retry", "kill", "quarantine"),
    "raised": ("fail", "retry", "kill", "quarantine"),
    "deadline": ("kill", "quarantine"),
    "memory": ("kill", "quarantine"),
}

Durability = Literal["replicated", "none"]
"""Where a task is kept until its end: by a majority of its shard's replicas, or only by the node that took it."""

Partition = Literal["wait", "run"]
"""What a node does with a task while its shard has no quorum within reach: wait for one, or run it all the same,
its result provisional until the shard is back. The same task may then run on both sides."""

NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]{0,63}")
MERGE: Final = ".merge"
SCHEMA_LIMIT_BYTES: Final = 64 * 1024
VERSION_LIMIT_CHARS: Final = 32
DEADLINE_LIMIT_MS: Final = 7 * 24 * 3600 * 1000
RETRIES_LIMIT: Final = 100
CONCURRENCY_LIMIT: Final = 1024
MEMORY_FLOOR_BYTES: Final = 32 * 1024 * 1024


class ContractError(ValueError):
    """An agent's declaration cannot become a contract. Raised where it is declared or loaded, never at a call.

    The text names the function, the parameter or option, and the remedy.
    """


def companion_of(agent: str) -> str:
    """The name under which a worker offers an agent's `merge` function."""
    return agent + MERGE


class OnBreach(msgspec.Struct, frozen=True):
    """The rung taken for each kind of breach."""

    schema: Rung = "kill"
    raised: Rung = "fail"
    deadline: Rung = "kill"
    memory: Rung = "kill"


class Contract(msgspec.Struct, frozen=True, kw_only=True):
    """What an agent promises. Schemas are JSON Schema (2020-12) as JSON text.

    `retries` is counted on each rung by itself: by the supervisor for the same task again after a rejected
    answer, and by the task's owner for further attempts after a failed one. `deadline_ms` is the longest one
    run may take. `concurrency` above 1 (asynchronous agents only) lets one worker run several tasks at once.
    `on_cancel` says what happens to a running plain function whose caller went away. `durability` is what holds
    for a call that does not say otherwise; `partition` matters for tasks that are replicated.
    """

    name: str
    version: str = "1"
    input_schema: bytes = b"true"
    output_schema: bytes = b"true"
    deadline_ms: int = 30_000
    retries: int = 2
    concurrency: int = 1
    memory_bytes: int | None = None
    on_breach: OnBreach = OnBreach()
    on_cancel: Literal["drop", "kill"] = "drop"
    runtime: Literal["thread", "asyncio", "trio"] = "thread"
    durability: Durability = "replicated"
    partition: Partition = "wait"

    def __post_init__(self) -> None:
        """Refuse values outside the documented ranges, with the option's name and the remedy."""
        if NAME.fullmatch(self.name) is None:
            raise ContractError(
                f"agent name {self.name!r}: use 1 to 64 letters, digits, '_', '.', '-', not starting with a digit"
            )
        if not 1 <= len(self.version) <= VERSION_LIMIT_CHARS:
            raise ContractError(f"agent {self.name}: version must have 1 to {VERSION_LIMIT_CHARS} characters")
        self._check_range("deadline_s", self.deadline_ms, 1, DEADLINE_LIMIT_MS, "milliseconds")
        self._check_range("retries", self.retries, 0, RETRIES_LIMIT, "repetitions")
        self._check_range("concurrency", self.concurrency, 1, CONCURRENCY_LIMIT, "tasks in one worker")
        if self.memory_bytes is not None:
            self._check_range("memory_mb", self.memory_bytes, MEMORY_FLOOR_BYTES, 1 << 50, "bytes")
        for field in ("input_schema", "output_schema"):
            self._check_range(field, len(getattr(self, field)), 1, SCHEMA_LIMIT_BYTES, "bytes of JSON Schema")
        if self.concurrency > 1 and self.runtime == "thread":
            raise ContractError(
                f"agent {self.name}: concurrency {self.concurrency} needs an `async def` function; "
                "a plain function runs one task at a time in each worker (start more workers instead)"
            )
        self._check_choice("durability", self.durability, get_args(Durability))
        self._check_choice("partition", self.partition, get_args(Partition))
        for breach, rungs in ALLOWED_RUNGS.items():
            chosen = getattr(self.on_breach, breach)
            if chosen not in rungs:
                raise ContractError(
                    f"agent {self.name}: on_breach[{breach!r}] is {chosen!r}; choose one of {', '.join(rungs)}"
                )

    def _check_range(self, option: str, value: float, low: int, high: int, unit: str) -> None:
        if not (isinstance(value, int) and low <= value <= high):
            raise ContractError(
                f"agent {self.name}: {option} gives {value} {unit}; allowed are whole numbers from {low} to {high}"
            )

    def _check_choice(self, option: str, value: object, allowed: tuple[str, ...]) -> None:
        if value not in allowed:
            raise ContractError(
                f"agent {self.name}: {option} is {value!r}; choose one of {', '.join(allowed)}"
            )
