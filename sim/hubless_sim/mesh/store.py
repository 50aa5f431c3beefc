"""A store outside of the mesh, which agents read when they begin and write to before they answer.

It does what `ctx.fence` is for: it has seen the token of each attempt that has read, and takes no write that shows an
older one, or none that it knows.
"""

from collections.abc import Iterator
from typing import Literal, NamedTuple


class Access(NamedTuple):
    """An attempt has read, or written with its token (or another one); ``place`` is the process that it ran in."""

    at_ns: int
    what: Literal["read", "written", "refused"]
    task: bytes
    attempt: int
    place: str


def token_of(task: bytes, attempt: int) -> str:
    """What an attempt shows: the attempt's number is the fencing token, of one task."""
    return f"{task.hex()}/{attempt}"


class Store:
    """What all agents of a run write to."""

    def __init__(self) -> None:
        self.accesses: list[Access] = []
        self._newest: dict[bytes, int] = {}

    def read(self, now_ns: int, task: bytes, attempt: int, place: str) -> None:
        """An attempt begins; the store remembers the newest of each task."""
        self._newest[task] = max(attempt, self._newest.get(task, 0))
        self.accesses.append(Access(now_ns, "read", task, attempt, place))

    def write(self, now_ns: int, task: bytes, attempt: int, place: str, token: str) -> str:
        """An attempt writes; returns why that is refused, "" if it is not."""
        why = self._refusal(task, token)
        self.accesses.append(Access(now_ns, "refused" if why else "written", task, attempt, place))
        return why

    def _refusal(self, task: bytes, token: str) -> str:
        subject, _, number = token.partition("/")
        if subject != task.hex() or not number.isdigit():
            return "no token of this task"
        newest = self._newest.get(task, 0)
        return "" if int(number) >= newest else f"a token of attempt {number}, and {newest} has begun"


def unfenced(accesses: list[Access]) -> Iterator[str]:
    """Writes of attempts that a newer one had followed, and attempts that two processes took for their own."""
    newest: dict[bytes, int] = {}
    places: dict[tuple[bytes, int], str] = {}
    for access in accesses:
        task, attempt = access.task, access.attempt
        if places.setdefault((task, attempt), access.place) != access.place:
            yield f"attempt {attempt} of task {task.hex()} is shown by {places[task, attempt]} and {access.place}"
        if access.what == "written" and attempt < newest.get(task, 0):
            yield f"task {task.hex()}: attempt {attempt} has written after attempt {newest[task]} had begun"
        newest[task] = max(attempt, newest.get(task, 0))
