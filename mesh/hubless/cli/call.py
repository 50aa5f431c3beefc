"""`mesh call`: one task."""

from __future__ import annotations

import sys
import time

import click
import msgspec

from hubless.cli.arguments import check_arguments
from hubless.cli.exits import CommandError, Exit, of_failure, report
from hubless.cli.options import at_option, json_option
from hubless.cli.screen import print_json
from hubless.client import connect_blocking


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
@click.option("--trace", is_flag=True, help="Show the agent's traceback if it raised.")
@json_option
def command(
    *,
    agent: str,
    payload: str,
    at: tuple[str, ...],
    key: str,
    timeout: float | None,
    trace: bool,
    as_json: bool,
) -> Exit:
    """Call AGENT with the payload JSON ("-" reads it from stdin) and print its answer."""
    check_arguments(agent=agent, key=key, timeout=timeout)
    body = checked_json(sys.stdin.read() if payload == "-" else payload)
    with connect_blocking(*at) as mesh:
        started = time.monotonic()
        reply = mesh.reply(agent, body, key=key, timeout=timeout)
        seconds = time.monotonic() - started
    if reply.failure is not None:
        error = of_failure(reply.failure, reached=reply.reached)
        report(error, as_json=as_json)
        if trace and not as_json and reply.failure.detail:
            click.echo(reply.failure.detail, err=True)
        return error.code
    if as_json:
        print_json(
            {"value": reply.value, "node": reply.node, "attempt": reply.attempt, "seconds": round(seconds, 6)}
        )
    else:
        print_json(reply.value)
    return Exit.OK
