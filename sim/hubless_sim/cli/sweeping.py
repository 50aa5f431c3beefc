"""What a sweep shows: a bar that moves on a terminal, lines for each failure, nothing for programs."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Self

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

from hubless.cli.screen import console
from hubless_sim.cli.violations import print_violations
from hubless_sim.search.shrink import Shrunk
from hubless_sim.search.state import Recorded, Swept
from hubless_sim.search.swarms import SWARMS
from hubless_sim.search.sweep import Failed, Tried
from hubless_sim.tapes.describe import described, faults_line


class Screen:
    """Shows nothing."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Nothing moves any more."""

    def resumed(self, done: int, failures: Sequence[Recorded]) -> None:
        """So many seeds were done before, and these of them failed."""

    def tried(self, tried: Tried) -> None:
        """A seed has been run."""

    def failed(self, failure: Recorded, failed: Failed) -> None:
        """A seed that failed has its tape."""

    def summed_up(self, ran: int, seconds: float, failures: Sequence[Recorded]) -> None:
        """All is over."""


def screen_of(seeds: range, swept: Swept, *, as_json: bool) -> Screen:
    """The screen for whoever reads stdout."""
    if as_json:
        return Screen()
    return _Live(seeds, swept) if sys.stdout.isatty() else _Lines(seeds, swept)


class _Lines(Screen):
    """Some lines for each failure."""

    def __init__(self, seeds: range, swept: Swept) -> None:
        self.console = console()
        self._seeds = seeds
        self._swept = swept

    def resumed(self, done: int, failures: Sequence[Recorded]) -> None:
        if done:
            self.console.print(f"{done:,} of {len(self._seeds):,} seeds were done before", style="dim")
        for failure in failures:
            self._head(failure)
            self._rows({"tape": failure.tape})

    def failed(self, failure: Recorded, failed: Failed) -> None:
        self._head(failure)
        told = described(SWARMS[self._swept.system](failure.seed))
        rows: dict[str, str] = {label: told[label] for label in ("faults", "knobs") if label in told}
        if failed.shrunk is not None:
            rows["shrunk to"] = _left(failed.shrunk)
            rows["faults left"] = faults_line(failed.tape)
        self._rows(rows | {"tape": failure.tape})

    def summed_up(self, ran: int, seconds: float, failures: Sequence[Recorded]) -> None:
        screen = self.console
        rate = f", {ran / seconds:,.1f} seeds/s" if ran else ""
        style = "bold red" if failures else "green"
        screen.print(
            Text.assemble(f"{ran:,} seeds, ", (f"{len(failures)} failed", style), f", {seconds:.1f} s{rate}")
        )
        if failures:
            first = failures[0]
            plant = f" --plant {self._swept.plant}" if self._swept.plant else ""
            see = f"; see `mesh sim run {first.tape}{plant}`"
            screen.print(Text.assemble((f"first failing seed: {first.seed}", "bold"), see), soft_wrap=True)

    def _head(self, failure: Recorded) -> None:
        self.console.print(Text(f"seed {failure.seed} failed", style="bold red"))
        print_violations(self.console, failure.violations, indent="  ", most=3)

    def _rows(self, rows: Mapping[str, str]) -> None:
        grid = Table.grid(padding=(0, 2, 0, 0))
        for label, text in rows.items():
            grid.add_row(Text(f"  {label}", style="dim"), Text(text))
        self.console.print(grid)


class _Live(_Lines):
    """The same above a bar, with rate, time that is left, and failures."""

    def __init__(self, seeds: range, swept: Swept) -> None:
        super().__init__(seeds, swept)
        self._progress = Progress(
            TextColumn("[bold]{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[rate]}"),
            TimeRemainingColumn(compact=True),
            TextColumn("{task.fields[failed]}"),
            console=self.console,
            transient=True,
        )
        self._task = self._progress.add_task(swept.system, total=len(seeds), rate="", failed="")
        self._began = time.monotonic()
        self._ran = 0
        self._failed = 0

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._progress.stop()

    def resumed(self, done: int, failures: Sequence[Recorded]) -> None:
        super().resumed(done, failures)
        self._failed = len(failures)
        self._progress.advance(self._task, done)

    def tried(self, tried: Tried) -> None:
        self._ran += 1
        rate = self._ran / max(1e-9, time.monotonic() - self._began)
        self._progress.update(self._task, advance=1, rate=f"{rate:,.1f} seeds/s")
        if tried.violations:
            self._failed += 1
            self._progress.update(self._task, failed=f"[bold red]{self._failed} failed[/]")
            if self._swept.shrinks:
                self.console.print(f"seed {tried.seed} fails: it is being shrunk", style="dim")


def _left(shrunk: Shrunk) -> str:
    size = shrunk.after
    counts = {"fault": size.faults, "operation": size.operations, "node": size.nodes}
    parts = [f"{count} {noun if count == 1 else f'{noun}s'}" for noun, count in counts.items()]
    until = "" if shrunk.ended == "smallest" else f", as its {shrunk.ended} had run out"
    return f"{', '.join(parts)}, {size.duration_ms / 1000:g} s, in {shrunk.runs} runs{until}"
