"""`mesh call`: one task."""

from __future__ import annotations

import sys
import time

import click
import msgspec

from hubless.cli.arguments import check_arguments, check_is_kept
from hubless.cli.exits import CommandError, Exit, of_failure, report
from hubless.cli.options import at_option, durability_option, json_option
from hubless.cli.screen import print_json
from hubless.client import connect_blocking
from hubless.client.arguments import DurabilityName

_PROVISIONAL = (
    "provisional: {} ran it without a majority of the task's shard; its result is decided after the partition"
)


def checked_json(text: str) -> bytes:
    """The payload of a call, as the user wrote it.

    Raises:
        CommandError: not JSON; the text says where it stops being JSON.
    """
    try:
        msgspec.json.decode(text)
    except msgspec.DecodeError as problem:
        shown = text if len(text) <= 60 else text[:57] + "..."
        hint = ""
        if text and text[0] not in '{["0123456789-':
            hint = "; a string needs its own quotes, as in '\"text\"'"
        raise CommandError(f"{shown!r} is not JSON: {problem}{hint}", kind="bad_json") from problem
    return text.encode()


@click.command(name="call")
@click.argument("agent")
@click.argument("payload", metavar="JSON", default="null")
@at_option
@click.option("--key", default="", help="Calls with the same key go to the same shard.")
@click.option(
    "--timeout", type=click.FloatRange(min=0, min_open=True), help="Seconds to wait for the answer."
)
@durability_option
@click.option(
    "--idempotency-key",
    default="",
    metavar="KEY",
    help="Names the task: calls with the same name, from anywhere, are one task.",
)
@click.option(
    "--wait-for-quorum/--no-wait-for-quorum",
    default=True,
    show_default=True,
    help="With a key: wait while no majority of its shard can be reached, or fail at once.",
)
@click.option("--trace", is_flag=True, help="Show the agent's traceback if it raised.")
@json_option
def command(
    *,
    agent: str,
    payload: str,
    at: tuple[str, ...],
    key: str,
    timeout: float | None,
    durability: DurabilityName | None,
    idempotency_key: str,
    wait_for_quorum: bool,
    trace: bool,
    as_json: bool,
) -> Exit:
    """Call AGENT with the payload JSON ("-" reads it from stdin) and print its answer."""
    check_arguments(agent=agent, key=key, idempotency_key=idempotency_key, timeout=timeout)
    check_is_kept(durability, "--idempotency-key" if idempotency_key else "")
    body = checked_json(sys.stdin.read() if payload == "-" else payload)
    with connect_blocking(*at) as mesh:
        started = time.monotonic()
        reply = mesh.reply(
            agent,
            body,
            key=key,
            timeout=timeout,
            durability=durability,
            idempotency_key=idempotency_key,
            wait_for_quorum=wait_for_quorum,
        )
        seconds = time.monotonic() - started
    if reply.failure is not None:
        error = of_failure(reply.failure, reached=reply.reached)
        has_trace = bool(reply.failure.detail) and not as_json
        if has_trace and not trace:
            error.message += "; --trace shows its traceback"
        report(error, as_json=as_json)
        if has_trace and trace:
            click.echo(reply.failure.detail, err=True)
        return error.code
    if as_json:
        print_json(
            {
                "value": reply.value,
                "node": reply.node,
                "attempt": reply.attempt,
                "provisional": reply.provisional,
                "seconds": round(seconds, 6),
            }
        )
    else:
        print_json(reply.value)
        if reply.provisional:
            click.echo(_PROVISIONAL.format(reply.node), err=True)
    return Exit.OK
