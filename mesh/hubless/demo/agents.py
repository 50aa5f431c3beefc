"""The demo's three kinds of agents, as a user would write them: plain functions with a decorator."""

from __future__ import annotations

from typing import Any

from hubless import agent
from hubless.demo import documents


@agent
def read(path: str) -> dict[str, Any]:
    """Reads and parses a document."""
    return documents.read(path)


@agent
def extract(document: dict[str, Any]) -> dict[str, Any]:
    """Finds names, words and sentences in a document that was read."""
    return documents.extract(document)


@agent
def summarise(extracted: dict[str, Any]) -> dict[str, Any]:
    """Makes the index entry of a document."""
    return documents.summarise(extracted)
