"""`mesh demo`: see it work."""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import click
import trio
from rich.console import Console, Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from hubless.cli.exits import CommandError, Exit
from hubless.cli.loop import run_trio
from hubless.cli.options import json_option
from hubless.cli.screen import print_json
from hubless.demo.board import STAGES, Board
from hubless.demo.documents import SUFFIXES, default_folder, find
from hubless.demo.run import Verdict, run

_REFRESH_S = 0.1
_PURPOSES = {
    "read": "read and parse a document",
    "extract": "find names, words and docstrings",
    "summarise": "choose sentences and terms for the index",
}


@click.command(name="demo")
@click.argument("folder", required=False, type=click.Path(path_type=Path))
@click.option("--nodes", default=5, show_default=True, type=click.IntRange(2, 20), help="How many nodes.")
@click.option(
    "--documents", "most", default=400, show_default=True, type=click.IntRange(1), help="At most so many."
)
@json_option
def command(*, folder: Path | None, nodes: int, most: int, as_json: bool) -> Exit:
    """Run five nodes over the documents in FOLDER, kill one in the middle, and check every answer.

    FOLDER may hold .py, .md, .txt and .rst files; without it, the sources of Python's standard library are read.
    Three kinds of agents work on each document: read, extract, summarise. The node with the most unanswered tasks
    is killed with SIGKILL when 40 % of the answers are there, and started again. At the end the index is compared
    with that of one plain process. Exit code 1 if anything is lost or wrong.

    Recovery is the time from the kill until every task that the killed node owned, unanswered, had its answer.
    """
    paths = _found(folder, most)
    board = Board(len(paths))
    screen = _Quiet(board) if as_json else _Live(board) if sys.stdout.isatty() else _Lines(board)
    with tempfile.TemporaryDirectory(prefix="mesh-demo-") as place:
        verdict = run_trio(_watched, screen, paths, nodes, Path(place))
    if as_json:
        print_json(_as_json(verdict))
    else:
        _print_verdict(verdict)
    return Exit.FAILED if verdict.lost or verdict.wrong else Exit.OK


def _found(folder: Path | None, most: int) -> list[Path]:
    where = folder or default_folder()
    if not where.is_dir():
        raise CommandError(f"there is no folder {where}", kind="file")
    paths = find(where.resolve(), most)
    if not paths:
        raise CommandError(f"{where} has no documents: {', '.join(SUFFIXES)} are read", kind="file")
    return paths


async def _watched(screen: _Quiet, paths: list[Path], nodes: int, place: Path) -> Verdict:
    async with trio.open_nursery() as nursery:
        nursery.start_soon(screen.watch)
        verdict = await run(paths, nodes, place, screen.board, screen.say)
        nursery.cancel_scope.cancel()
    return verdict


# -- while it runs ----------------------------------------------------------------------------------------


class _Quiet:
    """Shows nothing while it runs."""

    def __init__(self, board: Board) -> None:
        self.board = board

    def say(self, text: str) -> None:
        """Takes a line about what has just happened."""

    async def watch(self) -> None:
        """Keeps the picture up to date, until cancelled."""


class _Lines(_Quiet):
    """Plain lines, each with its time."""

    def __init__(self, board: Board) -> None:
        super().__init__(board)
        self._began = time.monotonic()

    def say(self, text: str) -> None:
        click.echo(f"{time.monotonic() - self._began:6.2f} s  {text}")


class _Live(_Lines):
    """A picture that moves: three bars, the nodes' shares, and what has happened."""

    def __init__(self, board: Board) -> None:
        super().__init__(board)
        self._said: list[Text] = []

    def say(self, text: str) -> None:
        style = "red" if "killed" in text or "dead" in text else "green" if "back" in text else ""
        self._said.append(Text(f"{time.monotonic() - self._began:6.2f} s  {text}", style=style))

    async def watch(self) -> None:
        with Live(self._picture(), auto_refresh=False, console=Console(highlight=False)) as live:
            try:
                while True:
                    await trio.sleep(_REFRESH_S)
                    live.update(self._picture(), refresh=True)
            finally:
                live.update(self._picture(), refresh=True)

    def _picture(self) -> Group:
        board = self.board
        bars = Table.grid(padding=(0, 2, 0, 0))
        for stage in STAGES:
            count = board.answered[stage]
            bar = ProgressBar(total=board.documents, completed=count, width=30)
            bars.add_row(stage, bar, f"{count}/{board.documents}", Text(_PURPOSES[stage], style="dim"))
        shares = Table.grid(padding=(0, 2, 0, 0))
        most = max(board.per_node.values(), default=1)
        for node, name in sorted(board.names.items(), key=lambda pair: pair[1]):
            count = board.per_node[node]
            shares.add_row(
                name, _state(board, node), ProgressBar(total=most, completed=count, width=30), str(count)
            )
        return Group(*self._said, Text(), bars, Text(), shares)


def _state(board: Board, node: str) -> Text:
    kill = board.kill
    if kill is None or kill.node != node:
        return Text("alive      ", style="green")
    return Text("back", style="green") if kill.back_ms is not None else Text("killed", style="bold red")


# -- at the end -------------------------------------------------------------------------------------------


def _print_verdict(verdict: Verdict) -> None:
    board, kill = verdict.board, verdict.board.kill
    table = Table(show_header=False, box=None, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_row("documents", f"{board.documents}", f"index of {verdict.terms} terms")
    table.add_row(
        "tasks",
        f"{board.tasks}",
        f"{verdict.seconds:.1f} s on {verdict.nodes} nodes, "
        f"{verdict.plain_seconds:.1f} s in one plain process",
    )
    table.add_row("answers", f"{board.done}", f"{board.again} of them after a second attempt")
    for node, name in sorted(board.names.items(), key=lambda pair: pair[1]):
        share = board.per_node[node] / max(1, board.done)
        note = "killed and started again" if kill is not None and kill.node == node else ""
        table.add_row(Text(f"  {name}", style="cyan"), f"{board.per_node[node]}", f"{share:.0%} {note}")
    if kill is not None:
        table.add_row("the kill", kill.name, f"SIGKILL with {len(kill.held)} unanswered tasks")
        table.add_row("  known", _ms(kill.known_ms), "until every other node held it for dead")
        table.add_row("  recovery", _ms(kill.recovery_ms), "until all of those were answered by others")
        table.add_row("  back", _ms(kill.back_ms), "until, started again, all others saw it alive")
    table.add_row("lost", _verdict(verdict.lost), "tasks without an answer")
    table.add_row("wrong", _verdict(verdict.wrong), "index entries that differ from the plain run")
    console = Console(highlight=False)
    console.print()
    console.print(table)
    for text in board.failures[:5]:
        console.print(f"failed: {text}", style="red")


def _verdict(count: int) -> Text:
    return Text(str(count), style="bold green" if count == 0 else "bold red")


def _ms(value: float | None) -> str:
    return "-" if value is None else f"{value:.0f} ms"


def _as_json(verdict: Verdict) -> dict[str, Any]:
    board, kill = verdict.board, verdict.board.kill
    return {
        "documents": board.documents,
        "nodes": verdict.nodes,
        "tasks": board.tasks,
        "answered": board.done,
        "lost": verdict.lost,
        "wrong": verdict.wrong,
        "kills": int(kill is not None),
        "recovery_ms": _rounded(kill.recovery_ms if kill else None),
        "known_ms": _rounded(kill.known_ms if kill else None),
        "back_ms": _rounded(kill.back_ms if kill else None),
        "held_by_killed": len(kill.held) if kill else 0,
        "second_attempts": board.again,
        "seconds": round(verdict.seconds, 3),
        "plain_seconds": round(verdict.plain_seconds, 3),
        "terms": verdict.terms,
        "per_node": {
            board.names[node]: board.per_node[node]
            for node in sorted(board.names, key=board.names.__getitem__)
        },
        "failures": board.failures[:20],
    }


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 1)
