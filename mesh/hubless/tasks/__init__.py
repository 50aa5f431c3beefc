"""The three roles of a task's life: gateway, owner, executor. Any of them may coincide in one node."""

from hubless.tasks.executor import Executor
from hubless.tasks.gateway import Gateway
from hubless.tasks.owner import Owner

__all__ = ["Executor", "Gateway", "Owner"]
