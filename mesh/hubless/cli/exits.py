"""What went wrong, as one line and an exit code."""

from __future__ import annotations

import enum
import errno
import json
import os
import sys
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NoReturn

import click

if TYPE_CHECKING:
    from hubless_agents import Failure


class Exit(enum.IntEnum):
    """Exit codes of `mesh`. They are an interface: scripts rely on them.

    USAGE or REFUSED? What is wrong with a command line whatever mesh it is meant for is USAGE. What this mesh, as it is
    now, does not have or allow is REFUSED, no matter whether a node says so or the command concludes it from what a
    node told: see `refused`.
    """

    OK = 0
    FAILED = 1
    USAGE = 2
    UNREACHABLE = 3
    REFUSED = 4
    INTERRUPTED = 5
    INTERNAL = 70


EXIT_CODES = """\b
Exit codes:
  0  done
  1  the agent failed, the demo lost something, or something does not hold in a simulated run
  2  wrong usage, configuration or input
  3  no node of the mesh could be reached
  4  the mesh refused: nothing ran (unknown agent, bad input, overloaded, no quorum, ...)
  5  interrupted
"""

_NOTHING_RAN = (
    "unknown_agent",
    "bad_input",
    "payload_too_large",
    "overloaded",
    "no_executor",
    "quarantined",
    "refused",
)

_KNOWN = {
    "UnreachableError": (Exit.UNREACHABLE, "unreachable"),
    "RefusedError": (Exit.REFUSED, "refused"),
    "WrongMeshError": (Exit.REFUSED, "wrong_mesh"),
    "WrongVersionError": (Exit.REFUSED, "wrong_version"),
    "ConfigError": (Exit.USAGE, "configuration"),
    "JoinError": (Exit.REFUSED, "join"),
    "NodeFailedError": (Exit.FAILED, "node_failed"),
    "BindError": (Exit.USAGE, "port_in_use"),
}
"""Our own exceptions and all that derive from them, by name: importing their modules would cost every command its
quick start.
"""


@dataclass
class CommandError(Exception):
    """An error for people: `message` is one line that ends with the remedy; `more` goes into JSON only."""

    message: str
    code: Exit = Exit.USAGE
    kind: str = "usage"
    more: dict[str, Any] = field(default_factory=dict)

    def __str__(self) -> str:
        return self.message


def refused(message: str, kind: str, more: dict[str, Any] | None = None) -> CommandError:
    """The error that goes with what a mesh, as it is, does not have or allow. Nothing ran."""
    return CommandError(message, Exit.REFUSED, kind, more or {})


def _exit_of(failure: Failure) -> Exit:
    """The exit code that goes with a task's failure. "unreachable" without an effect: nobody owns its shard."""
    nothing_ran = failure.code in _NOTHING_RAN or (failure.code, failure.effect) == ("unreachable", "none")
    return Exit.REFUSED if nothing_ran else Exit.FAILED


def of_failure(failure: Failure, *, reached: bool = True) -> CommandError:
    """The error that goes with a task's failure; `reached` as in `Reply`."""
    more = {
        "where": failure.where,
        "effect": str(failure.effect),
        "retry_after_ms": failure.retry_after_ms,
        "detail": failure.detail,
    }
    remedy = ""
    if failure.effect == "maybe":
        remedy = " (it may have taken effect: think before you repeat it)"
    elif failure.retry_after_ms is not None:
        remedy = f" (try again in {failure.retry_after_ms} ms)"
    code = _exit_of(failure) if reached else Exit.UNREACHABLE
    tells_where = failure.where not in ("", "client") and (
        code is Exit.FAILED or failure.code == "overloaded"
    )
    where = f" (at {failure.where})" if tells_where else ""
    return CommandError(f"{failure.code}: {failure.message}{where}{remedy}", code, failure.code, more)


def translated(problem: BaseException) -> CommandError:
    """Any exception as an error for people."""
    if isinstance(problem, BaseExceptionGroup):
        leaves = _leaves(problem)
        stopped = [leaf for leaf in leaves if isinstance(leaf, KeyboardInterrupt)]
        return translated((stopped or leaves)[0])
    if isinstance(problem, CommandError):
        return problem
    if isinstance(problem, click.ClickException):
        hint = ""
        if isinstance(problem, click.UsageError) and problem.ctx is not None:
            hint = f" (see `{problem.ctx.command_path} --help`)"
        return CommandError(" ".join(problem.format_message().split()) + hint)
    if isinstance(problem, (KeyboardInterrupt, click.exceptions.Abort)):
        return CommandError("interrupted", Exit.INTERRUPTED, "interrupted")
    return _of_other(problem)


def _leaves(group: BaseExceptionGroup[BaseException]) -> list[BaseException]:
    """What really happened, below all nurseries."""
    return [
        leaf
        for problem in group.exceptions
        for leaf in (_leaves(problem) if isinstance(problem, BaseExceptionGroup) else [problem])
    ]


def _of_other(problem: BaseException) -> CommandError:
    failure = getattr(problem, "failure", None)
    if failure is not None:
        return of_failure(failure)
    known = next((_KNOWN[kind.__name__] for kind in type(problem).__mro__ if kind.__name__ in _KNOWN), None)
    if known is not None:
        code, kind = known
        effect = getattr(problem, "effect", None)
        text = (isinstance(problem, OSError) and problem.strerror) or str(problem)
        return CommandError(" ".join(text.split()), code, kind, {"effect": str(effect)} if effect else {})
    if isinstance(problem, OSError):
        if problem.errno == errno.EPIPE:
            return CommandError("the reader of the output has gone", Exit.INTERRUPTED, "interrupted")
        what = f"{problem.filename}: " if problem.filename else ""
        return CommandError(f"{what}{problem.strerror or problem}", Exit.USAGE, "file")
    text = f"{type(problem).__name__}: {problem} - this is a bug of hubless; set MESH_DEBUG=1 to see where"
    return CommandError(" ".join(text.split()), Exit.INTERNAL, "internal")


def report(error: CommandError, *, as_json: bool) -> None:
    """Writes the error to stderr: one line for people, or one JSON object."""
    if as_json:
        body = {"kind": error.kind, "message": error.message, "exit": int(error.code)} | error.more
        click.echo(json.dumps({"error": body}), err=True)
        return
    click.echo(click.style("error: ", fg="red", bold=True) + error.message, err=True)


def reraise_if_debugging(problem: BaseException) -> None:
    """With MESH_DEBUG set, a traceback says more than a line."""
    if os.environ.get("MESH_DEBUG"):
        raise problem


def leave(code: Exit) -> NoReturn:
    """Ends the process with an exit code."""
    sys.exit(int(code))
