"""`mesh retry`: a task that failed gets another chance."""

from __future__ import annotations

import click

from hubless.cli.exits import Exit, refused
from hubless.cli.options import at_option, json_option
from hubless.cli.screen import print_json
from hubless.cli.taskid import task_argument
from hubless.client import connect_blocking


@click.command(name="retry")
@task_argument()
@at_option
@json_option
def command(*, task: str, at: tuple[str, ...], as_json: bool) -> Exit:
    """Queue the task with this ID again, with all its retries, after it failed, expired, died or was cancelled.

    Exit code 4 if there is nothing to repeat, because it succeeded.
    """
    with connect_blocking(*at) as mesh:
        told = mesh.retry(task)
    if told["state"] not in ("queued", "running"):
        text = f"task {task} is not queued again, it is {told['state']}: see `mesh status {task}`"
        raise refused(text, "not_retried", told)
    if as_json:
        print_json(told)
    else:
        click.echo(f"task {task} is {told['state']}: see `mesh status {task}`")
    return Exit.OK
