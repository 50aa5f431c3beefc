"""What a mesh says of a task that it keeps, read as a reply. No I/O, no clock."""

from __future__ import annotations

from typing import Any

import msgspec

from hubless.client.reply import Reply
from hubless_agents import Effect, Failure

ENDED = ("succeeded", "failed", "dead", "cancelled", "expired")


def is_whole(row: dict[str, Any]) -> bool:
    """Whether the row's result, if it is to have one, has not been cut."""
    if row["state"] != "succeeded":
        return True
    try:
        msgspec.json.decode(row.get("result") or "")
    except msgspec.DecodeError:
        return False
    return True


def reply_of(row: dict[str, Any]) -> Reply | None:
    """The outcome of the task in a row, None while it has none. The result must be whole."""
    state = row["state"]
    if state not in ENDED:
        return None
    node, attempt = row.get("executor") or "", row.get("attempt") or 0
    if state == "succeeded":
        return Reply(row["result"].encode(), None, node, attempt)
    return Reply(b"", _failure(row, state, attempt), node, attempt)


def _failure(row: dict[str, Any], state: str, attempt: int) -> Failure:
    effect = Effect.MAYBE if attempt else Effect.NONE
    if state == "cancelled":
        return Failure(code="cancelled", message="somebody cancelled the task", effect=effect)
    failures = row.get("failures") or []
    if failures:
        return msgspec.convert(failures[-1], Failure)
    if state == "expired":
        return Failure(code="expired", message="the deadline of the task passed", effect=effect)
    return Failure(
        code="refused", message=f"the task is {state}, and its failures are not known", effect=effect
    )
