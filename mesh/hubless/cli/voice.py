"""What a node in the foreground prints. A terminal that is held, or a reader that stalls, must not hold the node."""

from __future__ import annotations

import contextlib
import json
import queue
import threading
from types import TracebackType
from typing import Any, Self

import click
import msgspec

from hubless.driver import LogLine, Ready

_MOST_WAITING = 10_000
_LAST_WORDS_S = 1.0
_LEVEL_STYLES = {"warning": "yellow", "error": "red", "debug": "bright_black"}


class Printer:
    """Prints lines from a thread of its own, in order; beyond a bound they are dropped, and the drop is told.

    Leaving the context waits for a moment until what was said is printed.
    """

    def __init__(self) -> None:
        self._waiting: queue.Queue[str | None] = queue.Queue(_MOST_WAITING)
        self._dropped = 0
        self._thread = threading.Thread(target=self._print, name="printer", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with contextlib.suppress(queue.Full):
            self._waiting.put(None, timeout=_LAST_WORDS_S)
        self._thread.join(_LAST_WORDS_S)

    def say(self, line: str) -> None:
        """Has a line printed soon. Never waits."""
        try:
            self._waiting.put_nowait(line)
        except queue.Full:
            self._dropped += 1

    def _print(self) -> None:
        with contextlib.suppress(OSError):  # nobody reads any more; what is said later is dropped
            while (line := self._waiting.get()) is not None:
                click.echo(line)
                if self._waiting.empty():
                    self._tell_what_was_dropped()
            self._tell_what_was_dropped()

    def _tell_what_was_dropped(self) -> None:
        dropped, self._dropped = self._dropped, 0
        if dropped:
            click.echo(f"({dropped} lines were dropped: nobody read them in time)", err=True)


class PlainVoice:
    """Lines for people."""

    def __init__(self, printer: Printer) -> None:
        self._say = printer.say

    def ready(self, ready: Ready) -> None:
        name = f" ({ready.name})" if ready.name else ""
        agents = ", ".join(ready.agents) or "no agents: it passes work on"
        self._say(
            f"{click.style('ready', fg='green', bold=True)}  node {ready.node}{name} of mesh {ready.mesh}, "
            f"work {ready.work}, gossip {ready.gossip}; {agents}"
        )
        if ready.agents:
            self._say(f"try    mesh call {ready.agents[0]} JSON --at {ready.work}")

    def log(self, line: LogLine) -> None:
        source = click.style(f"{line.source:9}", fg="cyan")
        self._say(f"{source} {click.style(line.text, fg=_LEVEL_STYLES.get(line.level))}")

    def stopped(self) -> None:
        self._say("left the mesh")


class JsonVoice:
    """One JSON object a line: events "ready", "log" and "stopped"."""

    def __init__(self, printer: Printer) -> None:
        self._printer = printer

    def ready(self, ready: Ready) -> None:
        self._say("ready", msgspec.to_builtins(ready))

    def log(self, line: LogLine) -> None:
        self._say("log", msgspec.to_builtins(line))

    def stopped(self) -> None:
        self._say("stopped", {})

    def _say(self, event: str, fields: dict[str, Any]) -> None:
        self._printer.say(json.dumps({"event": event} | fields, ensure_ascii=False))
