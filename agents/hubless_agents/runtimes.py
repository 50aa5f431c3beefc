"""Where agent functions run inside a worker. Plain ones here, one at a time in one long-lived thread."""

from queue import SimpleQueue
from typing import Any, Protocol


class Task(Protocol):
    """A job as a runtime sees it."""

    @property
    def bound(self) -> Any: ...
    def arguments(self) -> tuple[list[Any], dict[str, Any]]: ...


class Sink(Protocol):
    """Takes the end of a job: `returned` or `raised`, exactly one of them, from the runtime's thread."""

    def returned(self, job: Any, value: object) -> None: ...
    def raised(self, job: Any, error: BaseException) -> None: ...


class Runtime(Protocol):
    """`submit` and `cancel` are called from any thread and do not block; `run` never returns."""

    def run(self) -> None: ...
    def submit(self, job: Any) -> None: ...
    def cancel(self, job: Any) -> None: ...


class Jobs(Protocol):
    """A queue whose `get` waits."""

    def get(self) -> Task: ...
    def put(self, job: Task) -> None: ...


class ThreadRuntime:
    """Plain functions. A running one cannot be cancelled: its answer is dropped, or its process killed.

    `jobs` is for who has another way to wait.
    """

    def __init__(self, sink: Sink, jobs: Jobs | None = None) -> None:
        self._sink = sink
        self._jobs: Jobs = SimpleQueue() if jobs is None else jobs

    def run(self) -> None:
        while True:
            job = self._jobs.get()
            try:
                positional, keywords = job.arguments()
                value = job.bound.function(*positional, **keywords)
            except BaseException as error:  # noqa: BLE001 - SystemExit and KeyboardInterrupt of an agent are its failure
                self._sink.raised(job, error)
            else:
                self._sink.returned(job, value)

    def submit(self, job: Task) -> None:
        self._jobs.put(job)

    def cancel(self, job: Task) -> None:
        """Nothing can be done from outside the thread."""
