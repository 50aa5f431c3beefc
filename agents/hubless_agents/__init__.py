"""Agents in worker processes: contracts, the supervisor that enforces them, and the pool that runs it.

The supervisor and the pool are imported when they are first asked for: a worker process needs neither, and
its start time is what the callers of a killed worker may have to wait for.
"""

from importlib import import_module
from typing import TYPE_CHECKING

from .context import Context as Context
from .contract import MERGE as MERGE
from .contract import Contract as Contract
from .contract import ContractError as ContractError
from .contract import companion_of as companion_of
from .decorators import agent as agent
from .events import *  # noqa: F403 - all events and effects; events.__all__ is the list
from .failure import Effect as Effect
from .failure import Failure as Failure
from .failure import failure as failure

if TYPE_CHECKING:
    from .catalogue import AgentLoad as AgentLoad
    from .config import SupervisorConfig as SupervisorConfig
    from .desk import Counters as Counters
    from .pool import Pool as Pool
    from .schema import Checker as Checker
    from .schema import SchemaError as SchemaError
    from .supervisor import Supervisor as Supervisor

_LATER = {
    "AgentLoad": "catalogue",
    "Checker": "schema",
    "Counters": "desk",
    "Pool": "pool",
    "SchemaError": "schema",
    "Supervisor": "supervisor",
    "SupervisorConfig": "config",
}


def __getattr__(name: str) -> object:
    if name not in _LATER:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f".{_LATER[name]}", __name__), name)
