"""`mesh sim sweep`: the tapes of many seeds, and what does not hold in them."""

from __future__ import annotations

import contextlib
import os
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import click
import msgspec

from hubless.cli.exits import CommandError, Exit
from hubless.cli.options import json_option
from hubless.cli.screen import print_json
from hubless_sim.cli.options import DEFAULT_SYSTEM, MOST_SEED, plant_option, system_of, system_option
from hubless_sim.cli.sweeping import Screen, screen_of
from hubless_sim.search.state import Recorded, State, StateError, Swept
from hubless_sim.search.swarms import SWARMS
from hubless_sim.search.sweep import Failed, Tried, searched
from hubless_sim.search.version import code_digest
from hubless_sim.tapes.describe import fault_kinds, knobs

_MOST_SEEDS = 1_000_000
_MOST_JOBS = 64
_PATH = click.Path(path_type=Path)


class _Asked(NamedTuple):
    """What is to be done."""

    seeds: range
    swept: Swept
    jobs: int
    keeps_going: bool
    out: Path


@click.command(name="sweep")
@click.option(
    "--seeds", default=1_000, show_default=True, type=click.IntRange(1, _MOST_SEEDS), help="How many."
)
@click.option(
    "--first",
    default=0,
    show_default=True,
    type=click.IntRange(0, MOST_SEED - _MOST_SEEDS),
    help="The first of them.",
)
@click.option("--jobs", type=click.IntRange(1, _MOST_JOBS), help="Processes; one for each core if left out.")
@system_option
@plant_option
@click.option("--keep-going", is_flag=True, help="Go on after the first seed that fails.")
@click.option(
    "--shrink/--no-shrink", "shrinks", default=True, show_default=True, help="Make what fails small."
)
@click.option(
    "--state",
    "state_path",
    type=_PATH,
    metavar="FILE",
    help="Keep what has been done in FILE, and go on from it.",
)
@click.option(
    "--out",
    type=_PATH,
    metavar="DIR",
    default="sim-failures",
    show_default=True,
    help="Where the tapes of failures go.",
)
@json_option
def command(
    *,
    seeds: int,
    first: int,
    jobs: int | None,
    system: str | None,
    plant: str | None,
    keep_going: bool,
    shrinks: bool,
    state_path: Path | None,
    out: Path,
    as_json: bool,
) -> Exit:
    """Run the tapes that seeds draw, and say whether all holds in them.

    A seed draws which kinds of faults there are, how many, when, and the knobs of what runs. The sweep ends with exit
    code 1 at the first seed that fails, whose tape is shrunk and written to DIR. With --plant, the system is the one in
    which the bug is looked for, unless --system names another.

    Ctrl-C ends it, and it says how to go on.
    """
    system = system or system_of(plant)
    asked = _Asked(
        range(first, first + seeds),
        Swept(system, plant, shrinks, code_digest()),
        jobs or os.cpu_count() or 1,
        keep_going,
        out,
    )
    with contextlib.ExitStack() as stack:
        stack.enter_context(_folder(out))
        state = stack.enter_context(_state(state_path, asked.swept)) if state_path else None
        outcome = _swept(asked, state, screen_of(asked.seeds, asked.swept, as_json=as_json))
    if as_json:
        print_json(outcome)
    return Exit.FAILED if outcome["failed"] else Exit.OK


def _swept(asked: _Asked, state: State | None, screen: Screen) -> dict[str, Any]:
    """Does what has not been done, and sums up."""
    failures = {seed: each for seed, each in state.failed.items() if seed in asked.seeds} if state else {}
    done = {*failures, *(seed for seed in state.held if seed in asked.seeds)} if state else set[int]()
    began, ran = time.monotonic(), 0
    with screen:
        screen.resumed(len(done), [failures[seed] for seed in sorted(failures)])
        try:
            for event in _events(asked, done, is_over=bool(failures) and not asked.keeps_going):
                if isinstance(event, Failed):
                    failure = failures[event.seed] = _recorded(event, asked)
                    done.add(event.seed)
                    screen.failed(failure, event)
                    if state:
                        state.add_failed(failure)
                    continue
                ran += 1
                screen.tried(event)
                if not event.violations:
                    done.add(event.seed)
                    if state:
                        state.add_held(event.seed)
        except KeyboardInterrupt:
            raise _interrupted(asked, done, has_state=state is not None) from None
    seconds = time.monotonic() - began
    ordered = [failures[seed] for seed in sorted(failures)]
    screen.summed_up(ran, seconds, ordered)
    return _summary(asked, ran, seconds, ordered)


def _events(asked: _Asked, done: set[int], *, is_over: bool) -> Iterator[Tried | Failed]:
    seeds = [] if is_over else [seed for seed in asked.seeds if seed not in done]
    return searched(
        seeds,
        jobs=min(asked.jobs, max(1, len(seeds))),
        system=asked.swept.system,
        plant=asked.swept.plant,
        shrinks=asked.swept.shrinks,
        keeps_going=asked.keeps_going,
    )


def _recorded(failed: Failed, asked: _Asked) -> Recorded:
    """Writes the tape of a failure."""
    path = asked.out / f"{asked.swept.plant or asked.swept.system}-{failed.seed}.json"
    path.write_bytes(failed.tape.to_json())
    shrunk = failed.shrunk
    if shrunk is None:
        return Recorded(failed.seed, failed.violations, str(path), None, 0)
    return Recorded(failed.seed, failed.violations, str(path), shrunk.after, shrunk.runs)


def _interrupted(asked: _Asked, done: set[int], *, has_state: bool) -> CommandError:
    """How to go on: with the same command, or from the first seed that has not ended."""
    count = len(asked.seeds)
    first = next((seed for seed in asked.seeds if seed not in done), asked.seeds.stop)
    remedy = "the same command goes on"
    if not has_state:
        system = "" if asked.swept.system == DEFAULT_SYSTEM else f" --system {asked.swept.system}"
        plant = f" --plant {asked.swept.plant}" if asked.swept.plant else ""
        left = asked.seeds.stop - first
        remedy = f"go on with `mesh sim sweep{system}{plant} --first {first} --seeds {left}`"
    text = f"interrupted after {len(done):,} of {count:,} seeds: {remedy}"
    return CommandError(text, Exit.INTERRUPTED, "interrupted", {"ran": len(done), "next": first})


def _summary(asked: _Asked, ran: int, seconds: float, failures: list[Recorded]) -> dict[str, Any]:
    """For programs. Faults and knobs are those of the tape as it was drawn."""
    system = asked.swept.system
    drawn = {each.seed: SWARMS[system](each.seed) for each in failures}
    return {
        "system": system,
        "plant": asked.swept.plant,
        "first": asked.seeds.start,
        "seeds": len(asked.seeds),
        "ran": ran,
        "failed": len(failures),
        "seconds": round(seconds, 3),
        "seeds_per_s": round(ran / seconds, 2) if seconds else 0.0,
        "failures": [
            msgspec.to_builtins(each)
            | {"faults": fault_kinds(drawn[each.seed]), "knobs": knobs(drawn[each.seed])}
            for each in failures
        ],
    }


@contextlib.contextmanager
def _folder(path: Path) -> Iterator[None]:
    """A folder that can be written to; one that was made for nothing is removed again.

    A long search that cannot say what it found is a pity, so this is found out before.
    """
    had = path.is_dir()
    try:
        path.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=path):
            pass
    except OSError as problem:
        text = f"--out {path}: {problem.strerror}; name a folder that can be written to"
        raise CommandError(text, kind="file") from problem
    try:
        yield
    finally:
        if not had:
            with contextlib.suppress(OSError):  # not empty
                path.rmdir()


def _state(path: Path, swept: Swept) -> State:
    try:
        return State(path, swept)
    except StateError as problem:
        raise CommandError(f"--state {problem}", kind="state") from problem
    except OSError as problem:
        text = f"--state {path}: {problem.strerror}; name a file that can be written"
        raise CommandError(text, kind="file") from problem
