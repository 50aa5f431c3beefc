"""`mesh cancel`: a task is not wanted any more."""

from __future__ import annotations

import click

from hubless.cli.exits import CommandError, Exit
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

    Exit code 4 if the task had ended before.
    """
    with connect_blocking(*at) as mesh:
        told = mesh.cancel(task)
    if told["state"] != "cancelled":
        text = f"task {task} is not cancelled, it is {told['state']} already: see `mesh status {task}`"
        raise CommandError(text, Exit.REFUSED, "not_cancelled", told)
    if as_json:
        print_json(told)
    else:
        click.echo(f"task {task} is cancelled")
    return Exit.OK
