"""All marks of the cores, found in their sources, and what runs of tapes reach of them.

with counting() as counts:
    play(tape)
unreached = [mark for mark in marks() if mark.text not in counts]
"""

import ast
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import msgspec

EVENT = "hubless.sometimes"
NAME = "sometimes"
PACKAGES = ("hubless_gossip", "hubless_agents", "hubless")


class Mark(msgspec.Struct, frozen=True, order=True):
    """A mark and where it is; ``file`` begins with the name of its package."""

    package: str
    file: str
    line: int
    text: str


class MarkError(ValueError):
    """A mark cannot be told from another one, or from none."""


def marks() -> tuple[Mark, ...]:
    """The marks of the cores, by place.  Raises MarkError if one of them is no literal, or is there twice."""
    return marks_of({package: _folder_of(package) for package in PACKAGES})


def marks_of(packages: dict[str, Path]) -> tuple[Mark, ...]:
    """The marks of packages in these folders; see ``marks``."""
    found = [mark for package, folder in packages.items() for mark in _found_in(package, folder)]
    by_text: dict[str, Mark] = {}
    for mark in found:
        first = by_text.setdefault(mark.text, mark)
        if first is not mark:
            raise MarkError(
                f"{mark.file}:{mark.line}: the mark {mark.text!r} is at {first.file}:{first.line} as well; "
                "say what is different here"
            )
    return tuple(sorted(found))


def _folder_of(package: str) -> Path:
    spec = find_spec(package)
    if spec is None or spec.origin is None:
        raise MarkError(f"package {package} is not installed: its marks cannot be found")
    return Path(spec.origin).parent


def _found_in(package: str, folder: Path) -> Iterator[Mark]:
    for path in sorted(folder.rglob("*.py")):
        if path == folder / "marks.py":
            continue  # which says what a mark is
        raw = path.read_text()
        if NAME not in raw:
            continue
        file = f"{package}/{path.relative_to(folder).as_posix()}"
        for node in ast.walk(ast.parse(raw)):
            if isinstance(node, ast.Call) and _is_mark(node.func):
                yield Mark(package, file, node.lineno, _text_of(node, file))
            elif isinstance(node, ast.alias) and node.name == NAME and node.asname:
                raise MarkError(f"{file}:{node.lineno}: {NAME} under another name; import it as it is")


def _is_mark(function: ast.expr) -> bool:
    return (isinstance(function, ast.Name) and function.id == NAME) or (
        isinstance(function, ast.Attribute) and function.attr == NAME
    )


def _text_of(call: ast.Call, file: str) -> str:
    match call:
        case ast.Call(args=[ast.Constant(value=str() as text)], keywords=[]) if text:
            return text
        case _:
            raise MarkError(f"{file}:{call.lineno}: {ast.unparse(call)}: the text of a mark is one literal")


_counts: Counter[str] | None = None
"""Where the marks that are reached just now are counted; None when nobody wants to know."""

_is_listening = False


@contextmanager
def counting() -> Iterator[Counter[str]]:
    """Counts how often each mark is reached in this process until the end of the context, by its text."""
    global _counts  # noqa: PLW0603 an audit hook belongs to the process, and so does what it counts
    _listen()
    before, _counts = _counts, Counter()
    try:
        yield _counts
    finally:
        _counts = before


def _listen() -> None:
    """An audit hook cannot be taken off again: there is one for all."""
    global _is_listening  # noqa: PLW0603 see above
    if not _is_listening:
        _is_listening = True
        sys.addaudithook(_hear)


def _hear(event: str, arguments: tuple[Any, ...]) -> None:
    if event == EVENT and _counts is not None:
        _counts[arguments[0]] += 1
