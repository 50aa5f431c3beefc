"""Running a command's asynchronous part."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import trio

Result = TypeVar("Result")


def run_trio(main: Callable[..., Awaitable[Result]], *arguments: Any) -> Result:
    """`trio.run`, where Ctrl-C arrives only at checkpoints: never in the middle of starting or ending something."""
    return trio.run(main, *arguments, restrict_keyboard_interrupt_to_checkpoints=True)
