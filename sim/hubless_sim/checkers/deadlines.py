"""What a contract forbids to run on does not run on: its process is killed at once, whoever still waits for it."""

from collections.abc import Iterable, Iterator

import msgspec

from hubless_sim.verdict import Violation

_NS_PER_MS = 1_000_000


class Overrun(msgspec.Struct, frozen=True):
    """An attempt ran on when its node had dealt with all that was due, the end of its contract's time included."""

    task: bytes
    attempt: int
    agent: str
    ran_ns: int


def overrun(found: Iterable[tuple[int, str, Overrun]]) -> Iterator[Violation]:
    """What was found, and when and where: of each attempt the first time."""
    told: set[tuple[str, bytes, int]] = set()
    for at_ns, node, each in found:
        if (node, each.task, each.attempt) not in told:
            told.add((node, each.task, each.attempt))
            text = (
                f"attempt {each.attempt} of task {each.task.hex()} has run on {node} for "
                f"{each.ran_ns // _NS_PER_MS} ms, which the contract of {each.agent} forbids, and is not killed"
            )
            yield Violation("contracts' deadlines", text, at_ns, (node,))
