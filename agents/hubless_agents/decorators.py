"""`@agent`: marks a function as an agent. The function itself is returned, so that tests call it plainly."""

import inspect
import math
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Literal, TypeVar, get_args, overload

import msgspec

from .contract import (
    DEFAULT_RUNGS,
    MERGE,
    Breach,
    Contract,
    ContractError,
    Durability,
    OnBreach,
    Partition,
    Rung,
    companion_of,
)

F = TypeVar("F", bound=Callable[..., object])
_MARK = "__hubless_agent__"
_RESULTS = 2


class AgentOptions(msgspec.Struct, frozen=True):
    """What the decorator was given: a contract that lacks only its schemas, and the same of its `merge`."""

    contract: Contract
    merge: Callable[..., object] | None = None
    merge_contract: Contract | None = None


@overload
def agent(function: F, /) -> F: ...
@overload
def agent(
    *,
    name: str | None = None,
    version: str = "1",
    deadline_s: float = 30.0,
    retries: int = 2,
    concurrency: int = 1,
    memory_mb: int | None = None,
    on_breach: Mapping[Breach, Rung] | None = None,
    on_cancel: Literal["drop", "kill"] = "drop",
    runtime: Literal["asyncio", "trio"] | None = None,
    durability: Durability = "replicated",
    partition: Partition = "wait",
    merge: Callable[[Any, Any], object] | None = None,
) -> Callable[[F], F]: ...


def agent(
    function: F | None = None,
    /,
    *,
    name: str | None = None,
    version: str = "1",
    deadline_s: float = 30.0,
    retries: int = 2,
    concurrency: int = 1,
    memory_mb: int | None = None,
    on_breach: Mapping[Breach, Rung] | None = None,
    on_cancel: Literal["drop", "kill"] = "drop",
    runtime: Literal["asyncio", "trio"] | None = None,
    durability: Durability = "replicated",
    partition: Partition = "wait",
    merge: Callable[[Any, Any], object] | None = None,
) -> F | Callable[[F], F]:
    """Mark a function, plain or `async`, as an agent; see README.md for the options and their defaults.

    Options are checked here (ContractError), type hints when a worker loads the module.
    """

    def mark(marked: F) -> F:
        if not inspect.isfunction(marked):
            raise ContractError(f"@agent needs a function, not {marked!r}: put it on a `def` or `async def`")
        if inspect.isgeneratorfunction(marked) or inspect.isasyncgenfunction(marked):
            raise ContractError(f"agent {marked.__name__}: a generator has no answer; return a list instead")
        contract = Contract(
            name=marked.__name__ if name is None else name,
            version=version,
            deadline_ms=round(deadline_s * 1000) if math.isfinite(deadline_s) else 0,
            retries=retries,
            concurrency=concurrency,
            memory_bytes=None if memory_mb is None else memory_mb * 1024 * 1024,
            on_breach=_on_breach(marked.__name__, on_breach or {}),
            on_cancel=on_cancel,
            runtime=_runtime(marked, runtime),
            durability=durability,
            partition=partition,
        )
        if contract.name.endswith(MERGE):
            raise ContractError(
                f"agent name {contract.name!r}: names that end in {MERGE!r} are those of `merge` functions"
            )
        merge_contract = None if merge is None else _merge_contract(contract, merge)
        setattr(marked, _MARK, AgentOptions(contract, merge, merge_contract))
        return marked

    return mark if function is None else mark(function)


def options_of(value: object) -> AgentOptions | None:
    """The options of a marked function; None for anything else."""
    options = getattr(value, _MARK, None) if inspect.isfunction(value) else None
    return options if isinstance(options, AgentOptions) else None


def marked_functions(values: Iterable[object]) -> list[Callable[..., object]]:
    """The agents among a module's values, each once, in their order. Two of one name are a ContractError."""
    found: dict[str, Callable[..., object]] = {}
    for value in values:
        options = options_of(value)
        if options is None or not callable(value):
            continue
        name = options.contract.name
        if found.setdefault(name, value) is not value:
            raise ContractError(
                f"two agents are called {name!r}: give one of them another name, @agent(name=...)"
            )
    return list(found.values())


def _merge_contract(contract: Contract, merge: Callable[..., object]) -> Contract:
    """The contract of an agent's `merge`, without its schemas; ContractError for what cannot be one."""
    name = contract.name
    if contract.partition != "run":
        raise ContractError(
            f'agent {name}: merge is for partition="run"; nothing else has more than one result'
        )
    if not inspect.isfunction(merge) or options_of(merge) is not None:
        raise ContractError(f"agent {name}: merge must be a function that is no agent itself, not {merge!r}")
    if inspect.isgeneratorfunction(merge) or inspect.isasyncgenfunction(merge):
        raise ContractError(f"agent {name}: merge {merge.__name__} is a generator, which has no answer")
    parameters = inspect.signature(merge).parameters.values()
    kinds = {one.kind for one in parameters}
    if len(parameters) != _RESULTS or kinds - {
        inspect.Parameter.POSITIONAL_ONLY,
        inspect.Parameter.POSITIONAL_OR_KEYWORD,
    }:
        raise ContractError(
            f"agent {name}: merge {merge.__name__} must take two positional parameters, the result so far and the other"
        )
    is_trio = contract.runtime == "trio" and inspect.iscoroutinefunction(merge)
    return msgspec.structs.replace(
        contract,
        name=companion_of(name),
        concurrency=1,
        runtime=_runtime(merge, "trio" if is_trio else None),
        durability="replicated",
        partition="wait",
    )


def _on_breach(function: str, chosen: Mapping[Breach, Rung]) -> OnBreach:
    for breach, rung in chosen.items():
        if breach not in DEFAULT_RUNGS or rung not in get_args(Rung):
            raise ContractError(
                f"agent {function}: on_breach {{{breach!r}: {rung!r}}}; keys are {', '.join(DEFAULT_RUNGS)}, "
                f"values are {', '.join(get_args(Rung))}"
            )
    return OnBreach(**{**DEFAULT_RUNGS, **chosen})


def _runtime(
    function: Callable[..., object], wanted: Literal["asyncio", "trio"] | None
) -> Literal["thread", "asyncio", "trio"]:
    if inspect.iscoroutinefunction(function):
        return wanted or "asyncio"
    if wanted is not None:
        raise ContractError(
            f"agent {function.__name__}: runtime={wanted!r} is for `async def` functions; leave it out"
        )
    return "thread"
