"""`mesh cancel`: a task is not wanted any more."""

from __future__ import annotations

import click

from hubless.cli.exits import Exit, refused
from hubless.cli.options import at_option, json_option
from hubless.cli.screen import print_json
from hubless.cli.taskid import task_argument
from hubless.client import connect_blocking


@click.command(name="cancel")
@task_argument()
@at_option
@json_option
def command(*, task: str, at: tuple[str, ...], as_json: bool) -> Exit:
    """Cancel the task with this ID. What its agent did until now may have happened.

    A task that runs is told to stop: an async function at its next await. A plain function cannot be stopped: it holds
    its worker until it returns or its agent's deadline_s is over, or is killed at once if that has on_cancel="kill".

    Exit code 4 if the task had ended before.
    """
    with connect_blocking(*at) as mesh:
        told = mesh.cancel(task)
    if told["state"] != "cancelled":
        text = f"task {task} is not cancelled, it is {told['state']} already: see `mesh status {task}`"
        raise refused(text, "not_cancelled", told)
    if as_json:
        print_json(told)
    else:
        click.echo(f"task {task} is cancelled{_what_goes_on(told.get('executor', ''))}")
    return Exit.OK


def _what_goes_on(executor: str) -> str:
    """What becomes of the attempt that was running on a node."""
    if not executor:
        return ""
    return (
        f"; it was running on node {executor}: an async agent stops there at its next await, a plain function holds "
        "its worker until it returns or its deadline_s is over, unless its agent has on_cancel='kill'"
    )
