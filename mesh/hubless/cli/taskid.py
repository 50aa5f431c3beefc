"""The ID of a task, as an argument."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import click

from hubless.cli.options import Decorated
from hubless.client.ids import checked_task_id


class TaskId(click.ParamType[str]):
    """32 hex digits."""

    name = "id"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        try:
            return checked_task_id(value)
        except ValueError as problem:
            self.fail(str(problem), param, ctx)


def task_argument(*, required: bool = True) -> Callable[[Decorated], Decorated]:
    """`ID`: a task."""
    return click.argument("task", metavar="ID", type=TaskId(), required=required)
