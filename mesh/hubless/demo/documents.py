"""What the demo does with a document: read and parse, extract, summarise. Pure functions, with or without a mesh.

The summary is extractive, after Luhn, "The automatic creation of literature abstracts" (1958): a sentence is worth the
frequencies of its words in the document, per word.
"""

from __future__ import annotations

import ast
import os
import re
import sysconfig
import warnings
from collections import Counter
from pathlib import Path
from typing import Any

SUFFIXES = (".py", ".md", ".txt", ".rst")
_LARGEST_BYTES = 256 * 1024
_SKIPPED = {
    "site-packages",
    "dist-packages",
    "test",
    "tests",
    "idle_test",
    "__pycache__",
    ".git",
    ".venv",
    "venv",
}
_WORD = re.compile(r"[A-Za-z]{4,}")
_SENTENCE_END = re.compile(r"(?<=[.!?])\s+|\n\s*\n")
_HEADING = re.compile(r"^(?:#{1,6} +(?P<markdown>.+)|(?P<underlined>\S.{2,})\n[=~\-^*]{3,}$)", re.MULTILINE)
_STOP = frozenset(
    """
    about after also because been before being both cannot could does each else from given have here into
    itself just like made make many more most much must need none only other over same self should some such
    than that their them then there these they this those used uses using very want were what when where
    which while will with would your true false return returns import class pass raise
    """.split()  # noqa: SIM905 - a list of 80 quoted words reads worse
)
_MOST_SECTIONS = 200
_MOST_SENTENCES = 120
_MOST_WORDS = 60


def default_folder() -> Path:
    """Real documents that every machine has: the sources of Python's standard library."""
    return Path(sysconfig.get_path("stdlib"))


def find(folder: Path, most: int) -> list[Path]:
    """At most `most` documents below the folder, evenly picked from all of them in the order of their names."""
    found: list[Path] = []
    for directory, below, names in os.walk(folder):
        below[:] = [name for name in below if name not in _SKIPPED]
        found += [Path(directory, name) for name in names if name.endswith(SUFFIXES)]
    found = sorted(filter(_fits, found))
    if len(found) <= most:
        return found
    return [found[place * len(found) // most] for place in range(most)]


def read(path: str) -> dict[str, Any]:
    """The text of a document and its sections: modules, classes and functions with docstrings, or headings."""
    text = Path(path).read_bytes().decode("utf-8", errors="replace")
    parse = _python_sections if path.endswith(".py") else _heading_sections
    return {
        "path": path,
        "lines": text.count("\n") + 1,
        "text": text,
        "sections": parse(text)[:_MOST_SECTIONS],
    }


def extract(document: dict[str, Any]) -> dict[str, Any]:
    """What the text is about: names, word frequencies, and the sentences worth quoting."""
    text, sections = document["text"], document["sections"]
    frequencies = Counter(word for word in map(str.lower, _WORD.findall(text)) if word not in _STOP)
    prose = [section["doc"] for section in sections if section["doc"]]
    if not prose and not document["path"].endswith(".py"):
        prose = [text]
    return {
        "path": document["path"],
        "lines": document["lines"],
        "functions": [section["name"] for section in sections if section["kind"] == "function"],
        "classes": [section["name"] for section in sections if section["kind"] == "class"],
        "headings": [section["name"] for section in sections if section["kind"] == "heading"],
        "docstrings": len(prose),
        "words": dict(sorted(frequencies.items(), key=lambda pair: (-pair[1], pair[0]))[:_MOST_WORDS]),
        "sentences": _sentences(prose),
    }


def summarise(extracted: dict[str, Any]) -> dict[str, Any]:
    """The index entry of a document: its best two sentences, its terms, its counts."""
    words: dict[str, int] = extracted["words"]
    ranked = sorted(
        enumerate(extracted["sentences"]), key=lambda numbered: (-_worth(numbered[1], words), numbered[0])
    )
    best = sorted(ranked[:2])
    return {
        "path": extracted["path"],
        "summary": " ".join(sentence for _, sentence in best),
        "terms": list(words)[:8],
        "functions": len(extracted["functions"]),
        "classes": len(extracted["classes"]),
        "docstrings": extracted["docstrings"],
        "lines": extracted["lines"],
    }


def index_of(entries: dict[str, dict[str, Any]]) -> dict[str, list[str]]:
    """The index proper: each term with the documents it is a term of."""
    index: dict[str, list[str]] = {}
    for path in sorted(entries):
        for term in entries[path]["terms"]:
            index.setdefault(term, []).append(path)
    return dict(sorted(index.items()))


def _fits(path: Path) -> bool:
    return path.is_file() and 0 < path.stat().st_size <= _LARGEST_BYTES


def _python_sections(text: str) -> list[dict[str, str]]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            tree = ast.parse(text)
        except (SyntaxError, ValueError):
            return []
    sections = [{"kind": "module", "name": "", "doc": ast.get_docstring(tree) or ""}]
    for node in ast.walk(tree):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            sections.append({"kind": "function", "name": node.name, "doc": ast.get_docstring(node) or ""})
        elif isinstance(node, ast.ClassDef):
            sections.append({"kind": "class", "name": node.name, "doc": ast.get_docstring(node) or ""})
    return sections


def _heading_sections(text: str) -> list[dict[str, str]]:
    return [
        {"kind": "heading", "name": (found["markdown"] or found["underlined"]).strip(), "doc": ""}
        for found in _HEADING.finditer(text)
    ]


def _sentences(prose: list[str]) -> list[str]:
    sentences: list[str] = []
    for text in prose:
        for sentence in _SENTENCE_END.split(text):
            flat = " ".join(sentence.split())
            if 30 <= len(flat) <= 300:
                sentences.append(flat)
            if len(sentences) >= _MOST_SENTENCES:
                return sentences
    return sentences


def _worth(sentence: str, frequencies: dict[str, int]) -> float:
    words = [word.lower() for word in _WORD.findall(sentence)]
    return sum(frequencies.get(word, 0) for word in words) / (len(words) + 3)
