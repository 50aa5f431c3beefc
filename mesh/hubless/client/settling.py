"""Waiting until a mesh keeps everything several times: a new one spreads its shards first."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any

import anyio

from hubless.client.errors import MeshError

_LOOK_AGAIN_S = 0.05
_PRESENT = ("alive", "busy", "suspect")


async def settled(ask: Callable[..., Awaitable[dict[str, Any]]], replicas: int) -> None:
    """Returns when every shard is healthy, has all replicas that the mesh can give it, and every node owns some."""
    while True:
        with suppress(MeshError):
            members = (await ask("members"))["members"]
            nodes = sum(row["condition"] in _PRESENT and row["weight"] > 0 for row in members)
            told = await ask("shards")
            if not told["silent"] and are_at_rest(told["shards"], min(nodes, replicas), nodes):
                return
        await anyio.sleep(_LOOK_AGAIN_S)


def are_at_rest(rows: list[dict[str, Any]], replicas: int, nodes: int) -> bool:
    """Whether these rows, of all shards, are those of a mesh that has nothing to move."""
    owners = {row["owner"] for row in rows}
    is_spread = len(owners) >= min(nodes, len(rows) // 8)  # few shards need not reach every node
    return is_spread and all(row["condition"] == "healthy" and len(row["voters"]) >= replicas for row in rows)
