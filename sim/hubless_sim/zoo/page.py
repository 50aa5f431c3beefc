"""The table of the zoo as a page of the documentation."""

from __future__ import annotations

import re
from collections.abc import Sequence
from statistics import median

from hubless_sim.zoo.measure import Measured

_HEAD = """\
# The zoo of planted bugs

Each of these is one rule of the product, replaced on purpose by something that nearly always works. Checkers that find
none of them would prove nothing: sweeps must find them all, from seed 0 on, within a minute of CPU time each.

    mesh sim sweep --plant NAME        find one, and shrink what shows it
    mesh sim zoo --write               measure all of them, and write this page

`seed` is the first one whose tape fails with the bug and holds without it, `CPU s` what it took to get there from 0.
`faults` are those of that tape, and those that are left when all are taken away that the failure can do without (0:
what clients ask for is enough).

"""
_COLUMNS = "| name | area | what it does wrong | found by | seed | CPU s | rule that it breaks | faults |"
_ROW = re.compile(r"^\| `([a-z0-9-]+)` \|", re.MULTILINE)


def page_of(zoo: Sequence[Measured]) -> str:
    """The page of all plants that were found."""
    rows = [_row(each) for each in zoo]
    left = [each.left for each in zoo if each.found]
    seconds = [each.found.cpu_s for each in zoo if each.found]
    summary = (
        f"{len(zoo)} bugs, {len(left)} found. CPU seconds: median {median(seconds):.1f}, most {max(seconds):.1f}. "
        f"Faults left: median {median(left):g}, most {max(left)}.\n\n"
        if left
        else ""
    )
    return _HEAD + summary + "\n".join([_COLUMNS, "|---|---|---|---|---|---|---|---|", *rows]) + "\n"


def names_on(page: str) -> list[str]:
    """The plants that a page lists."""
    return _ROW.findall(page)


def _row(each: Measured) -> str:
    found = each.found
    told = (
        ["-", "-", "not found", "-"]
        if found is None
        else [str(found.seed), f"{found.cpu_s:.1f}", found.checker, f"{each.faults} → {each.left}"]
    )
    return f"| {' | '.join([f'`{each.name}`', each.area, each.what, f'{each.system} sweep', *told])} |"
