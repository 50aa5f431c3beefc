"""The life of a task: the gateway takes it, the owner decides about it, the executor runs it."""

from hubless.tasks.dispatch import Dispatch
from hubless.tasks.executor import Executor
from hubless.tasks.gateway import Gateway
from hubless.tasks.log import Unlogged
from hubless.tasks.owner import Owner

__all__ = ["Dispatch", "Executor", "Gateway", "Owner", "Unlogged"]
