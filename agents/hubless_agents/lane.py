"""Which of the tasks in one worker have started: one rule, used by the supervisor and by the worker.

Tasks of a worker form a line. The front of it runs: tasks of one agent, at most that agent's concurrency.
The next one starts when the worker is empty, or when it is of the running agent and there is room. A worker
writes the answer of a task before it starts the next. Therefore the supervisor, which applies the same rule
to the answers that it has read, knows after a worker's death which tasks had certainly not started.
"""

from typing import Generic, Protocol, TypeVar


class Laned(Protocol):
    """What a lane needs to know of a task: whose it is, and how many of these may run at once."""

    @property
    def lane_agent(self) -> str: ...
    @property
    def lane_limit(self) -> int: ...


T = TypeVar("T", bound=Laned)


class Lane(Generic[T]):
    """Tasks by give number, in the order in which they were given."""

    __slots__ = ("running", "waiting")

    def __init__(self) -> None:
        self.running: dict[int, T] = {}
        self.waiting: dict[int, T] = {}

    def __len__(self) -> int:
        return len(self.running) + len(self.waiting)

    def add(self, give: int, task: T) -> T | None:
        """Put a task at the end; returns it if it starts at once."""
        if not self.running or self.has_room_for(task):
            self.running[give] = task
            return task
        self.waiting[give] = task
        return None

    def remove(self, give: int) -> tuple[T | None, list[tuple[int, T]]]:
        """Take a task out (None if it is not here); the second value are those that start now, in order."""
        task = self.running.pop(give, None)
        if task is None:
            task = self.waiting.pop(give, None)
        started: list[tuple[int, T]] = []
        while self.waiting:
            number = next(iter(self.waiting))
            candidate = self.waiting[number]
            if self.running and not self._joins(candidate):
                break
            del self.waiting[number]
            self.running[number] = candidate
            started.append((number, candidate))
        return task, started

    def has_room_for(self, task: T) -> bool:
        """Would this task start at once beside those that run?"""
        return not self.waiting and self._joins(task)

    def _joins(self, task: T) -> bool:
        first = next(iter(self.running.values()))
        return first.lane_agent == task.lane_agent and len(self.running) < task.lane_limit
