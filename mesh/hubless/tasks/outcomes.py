"""What an owner tells others of a task: its outcome, or why it is not taken."""

from __future__ import annotations

from hubless.tasks.attempts import NODE_GONE
from hubless.tasks.row import Row, State
from hubless.view import View
from hubless.wire import Place, Settled
from hubless_agents import Effect, Failure

_RETRY_AFTER_MS = 1_000


def settled(me: str, row: Row) -> Settled:
    """The outcome of a finished task."""
    failure = _cancelled(me, row) if row.state is State.CANCELLED else row.failure
    payload = None if failure is not None else row.result or b""
    return Settled(row.task, payload, failure, row.executor.rpartition("/")[0], row.attempt)


def refusal(
    me: str, view: View, place: Place, live: int, most_live: int, *, is_forgotten: bool = False
) -> Failure | None:
    """Why a task that an owner does not know is not taken, or None."""
    where = f"owner {me}"
    offer = view.offer(place.agent)
    is_on_record = place.is_kept and not (offer is not None and offer.runs_apart)
    if place.again and place.once and not is_on_record and not place.apart:
        return Failure(
            code="unreachable",
            message="the node that had the task is gone; its effect may have happened, and it runs only once",
            where=where,
            effect=Effect.MAYBE,
        )
    if is_forgotten and place.once:
        return Failure(
            code="unreachable",
            message="it may have ended, so long ago that its shard has forgotten that; and it runs only once",
            where=where,
            effect=Effect.MAYBE,
        )
    offering = view.agent_ring(place.agent).nodes
    if offering and view.too_small_for(place.payload).issuperset(offering):
        return Failure(
            code="payload_too_large",
            message=f"no node with {place.agent!r} takes {len(place.payload)} bytes: send a reference instead",
            where=where,
        )
    if live >= most_live:
        return Failure(
            code="overloaded",
            message=f"this node owns {most_live} unfinished tasks already: try again later",
            where=where,
            retry_after_ms=_RETRY_AFTER_MS,
        )
    return None


def expired(me: str, *, is_running: bool) -> Failure:
    """No outcome in time."""
    return Failure(
        code="expired",
        message="no outcome before the deadline of the call",
        where=f"owner {me}",
        effect=Effect.MAYBE if is_running else Effect.NONE,
    )


def never_ordered(node: str) -> Failure:
    """The node died between the choice and the order."""
    return Failure(code=NODE_GONE, message="the node was gone before the attempt was ordered", where=node)


def _cancelled(me: str, row: Row) -> Failure:
    return Failure(
        code="cancelled",
        message="the task was cancelled",
        where=f"owner {me}",
        effect=Effect.MAYBE if row.attempt else Effect.NONE,
    )
