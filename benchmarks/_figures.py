"""What an experiment reports: figures beside their bounds, and how they are printed."""

import platform
import statistics
from collections.abc import Callable, Sequence
from typing import Literal

import msgspec

Size = Literal["quick", "default", "full"]


class Figure(msgspec.Struct, frozen=True):
    """One measured value.  ``bound`` None: shown for comparison, nothing is demanded of it."""

    name: str
    value: float
    unit: str = ""
    bound: float | None = None
    sense: Literal["<=", ">="] = "<="
    met: bool | None = None
    note: str = ""


class Report(msgspec.Struct, frozen=True):
    """The outcome of one experiment."""

    name: str
    figures: list[Figure]
    runs: int
    seeds: list[int]
    wall_s: float = 0.0
    cpu_s: float = 0.0
    """Processor time: what the wall time would be on a core of one's own."""


Experiment = Callable[[Size], Report]


def bounded(
    name: str,
    value: float,
    bound: float,
    *,
    unit: str = "",
    sense: Literal["<=", ">="] = "<=",
    note: str = "",
) -> Figure:
    """A figure with a bound; whether it is met follows from the value alone (not a number: not met)."""
    met = value <= bound if sense == "<=" else value >= bound
    return Figure(name=name, value=_short(value), unit=unit, bound=bound, sense=sense, met=met, note=note)


def shown(name: str, value: float, *, unit: str = "", note: str = "") -> Figure:
    """A figure without a bound."""
    return Figure(name=name, value=_short(value), unit=unit, note=note)


def percentile(values: Sequence[float], share: float) -> float:
    """The nearest-rank percentile; not a number if there are no values."""
    if not values:
        return float("nan")
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, max(0, round(share * len(ordered) + 0.5) - 1))]


def median(values: Sequence[float]) -> float:
    """The median; not a number if there are no values."""
    return statistics.median(values) if values else float("nan")


def lines(report: Report) -> list[str]:
    """The report as text for a terminal."""
    cost = f"{report.wall_s:.0f} s of wall time"
    if report.cpu_s:
        cost += f", {report.cpu_s:.0f} s of processor"
    out = [f"{report.name}: {report.runs} runs, seeds {_seeds(report.seeds)}, {cost}"]
    for figure in report.figures:
        verdict = "" if figure.met is None else ("  met" if figure.met else "  NOT MET")
        bound = "" if figure.bound is None else f" ({figure.sense} {figure.bound:g})"
        note = f"  # {figure.note}" if figure.note else ""
        out.append(f"  {figure.name:<44} {figure.value:>12g} {figure.unit:<5}{bound:<12}{verdict}{note}")
    return out


def concluded(report: Report, *, as_json: bool, **particulars: object) -> int:
    """Prints the report, with what is particular to it for programs; the exit code: 0 if all bounds are met."""
    met = all(figure.met is not False for figure in report.figures)
    if as_json:
        document = {
            "benchmark": report.name,
            "python": platform.python_version(),
            **particulars,
            "met": met,
            **{figure.name: figure.value for figure in report.figures},
            "figures": report.figures,
        }
        print(msgspec.json.format(msgspec.json.encode(document), indent=2).decode())
    else:
        print("\n".join(lines(report)))
    return 0 if met else 1


def _seeds(seeds: Sequence[int]) -> str:
    return f"{min(seeds)}..{max(seeds)}" if len(seeds) > 1 else ", ".join(map(str, seeds))


def _short(value: float) -> float:
    return float(f"{value:.4g}")
