"""Many calls at once, with the mesh played by the test."""

from __future__ import annotations

import pytest
import trio

from hubless.client.reply import Reply
from hubless.client.results import Replies


def replies_of(submit) -> Replies:
    return Replies(
        submit=submit,
        cancel=lambda call: None,
        encode=lambda item: item,
        key=None,
        idempotency_key=None,
        in_flight=4,
        ordered=True,
        retry_s=1.0,
    )


async def test_an_item_that_is_refused_as_misuse_ends_the_stream_after_what_was_answered():
    def submit(payload, key, name, settle):
        if payload == b"bad":
            raise ValueError("agent is empty")
        settle(Reply(payload))

    replies = replies_of(submit)
    answered = []
    with trio.fail_after(5):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(replies.feed, [b"1", b"2", b"bad", b"3"])
            with pytest.raises(ValueError, match="agent is empty"):
                while True:
                    answered.append((await anext(replies)).raw)
    assert answered == [b"1", b"2"]
