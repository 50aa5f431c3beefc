"""What a client raises. Each error is one line that names what happened and the remedy, and says about its effect.

`effect` answers the only question that matters before a repetition: "none" means that no agent ran because of
this call, "maybe" that nobody knows, "done" that the agent ran to its end.
"""

from __future__ import annotations

from hubless_agents import Effect, Failure


class MeshError(Exception):
    """Anything that keeps a mesh from answering. The text ends with the remedy where there is one."""

    def __init__(self, message: str, *, effect: Effect = Effect.NONE) -> None:
        super().__init__(message)
        self.effect = effect


class UnreachableError(MeshError):
    """No node answers at any known address. Raised by connecting, and by calls once the patience is used up."""


class RefusedError(MeshError):
    """A node answered and will not have this client; asking it again changes nothing."""


class WrongMeshError(RefusedError):
    """The addresses belong to different meshes, or not to the mesh that was asked for."""


class WrongVersionError(RefusedError):
    """The node speaks another version of the protocol: install the same release on both sides."""


class TaskFailed(MeshError):  # noqa: N818 - it reads as what happened to the task, and `failure` says why
    """The mesh answered, with a failure. `failure` is that value, `effect` is the failure's own."""

    def __init__(self, failure: Failure) -> None:
        where = f" (at {failure.where})" if failure.where else ""
        super().__init__(f"{failure.code}: {failure.message}{where}", effect=failure.effect)
        self.failure = failure


class TaskTimedOut(TaskFailed, TimeoutError):  # noqa: N818 - as above
    """The failure is a deadline: the caller's (code "expired") or the agent's own (code "deadline")."""


def failed(failure: Failure) -> TaskFailed:
    """The exception that goes with the failure of a task. Code "unreachable" is one too: the task's node died."""
    kind = TaskTimedOut if failure.code in ("expired", "deadline") else TaskFailed
    return kind(failure)
