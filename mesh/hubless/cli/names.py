"""How nodes are called in tables."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

_ID_CHARS = 8


class Names:
    """Names of nodes by their ids; a node without one goes by the beginning of its id."""

    def __init__(self, members: Iterable[dict[str, Any]] = ()) -> None:
        self._names: dict[str, str] = {member["node"]: member["name"] for member in members if member["name"]}

    def __getitem__(self, node: str) -> str:
        return self._names.get(node) or node[:_ID_CHARS] or "-"

    def place(self, where: str) -> str:
        """Where something failed, "node/agent/worker", with the node's name if it has one."""
        node, slash, rest = where.partition("/")
        return self._names.get(node, node) + slash + rest

    def of(self, nodes: Iterable[str]) -> str:
        """Several nodes, with commas."""
        return ", ".join(self[node] for node in nodes) or "-"
