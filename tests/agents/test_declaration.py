"""`@agent`, the contracts it leads to, and the functions called plainly."""

import json
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import msgspec
import pytest

from hubless_agents import Context, Contract, ContractError, agent
from hubless_agents.decorators import marked_functions
from hubless_agents.signature import Bound, InputError, OutputError, bounds_of


@dataclass
class Point:
    x: int
    y: int = 0


class Pair(NamedTuple):
    left: int
    right: int


PAIR = Pair(1, 2)


def schema_of(function):
    return json.loads(Bound(function).contract.input_schema)


def call(function, payload, context=None):
    bound = Bound(function)
    positional, keywords = bound.arguments(payload, context or Context())
    return json.loads(bound.encode(function(*positional, **keywords)))


def test_decorated_function_is_still_the_function():
    @agent
    def double(number: int) -> int:
        return 2 * number

    @agent(name="with.context")
    def tells(ctx: Context) -> int:
        return ctx.attempt

    assert double(4) == 8
    assert tells(Context(attempt=3)) == 3


def test_defaults_are_those_of_the_readme():
    @agent
    def plain(value): ...

    contract = Bound(plain).contract
    assert contract == Contract(name="plain")
    assert (contract.deadline_ms, contract.retries, contract.concurrency) == (30_000, 2, 1)
    assert (contract.on_breach.schema, contract.on_breach.raised) == ("kill", "fail")
    assert (contract.on_breach.deadline, contract.on_breach.memory) == ("kill", "kill")
    assert (contract.durability, contract.partition) == ("replicated", "wait")


def test_options_reach_the_contract():
    @agent(version="3", deadline_s=0.5, retries=0, concurrency=8, memory_mb=64, on_breach={"schema": "fail"})
    async def wide(): ...

    contract = Bound(wide).contract
    assert (contract.version, contract.deadline_ms, contract.retries) == ("3", 500, 0)
    assert (contract.concurrency, contract.memory_bytes, contract.runtime) == (8, 64 << 20, "asyncio")
    assert contract.on_breach.schema == "fail"

    @agent(durability="none", partition="run")
    def light(): ...

    assert (Bound(light).contract.durability, Bound(light).contract.partition) == ("none", "run")


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"name": "with space"}, "name"),
        ({"deadline_s": 0}, "deadline_s"),
        ({"deadline_s": float("inf")}, "deadline_s"),
        ({"retries": 1.5}, "retries"),
        ({"retries": -1}, "retries"),
        ({"concurrency": 2}, "async def"),
        ({"memory_mb": 1}, "memory_mb"),
        ({"runtime": "trio"}, "leave it out"),
        ({"on_breach": {"schema": "explode"}}, "explode"),
        ({"on_breach": {"weather": "kill"}}, "weather"),
        ({"on_breach": {"deadline": "retry"}}, "deadline"),
        ({"version": ""}, "version"),
        ({"durability": "disk"}, "durability is 'disk'; choose one of replicated, none"),
        ({"partition": True}, "partition is True; choose one of wait, run"),
    ],
)
def test_wrong_option_is_refused_where_it_is_written(options, text):
    with pytest.raises(ContractError, match=text):

        @agent(**options)
        def refused(): ...


def both(first, second):
    return [first, second]


async def slowly(first, second):
    return [first, second]


def test_a_merge_is_offered_as_a_companion_of_its_agent():
    @agent(version="3", deadline_s=7, retries=1, partition="run", durability="none", merge=lambda a, b: a + b)
    def points(count: int) -> list[Point]: ...

    one, merge = bounds_of([points])
    assert (one.contract.name, merge.contract.name) == ("points", "points.merge")
    assert (merge.contract.version, merge.contract.deadline_ms, merge.contract.retries) == ("3", 7_000, 1)
    assert (merge.contract.durability, merge.contract.partition) == ("replicated", "wait")
    schema = json.loads(merge.contract.input_schema)
    assert set(schema["$defs"]["points"]["required"]) == {"first", "second"}
    assert merge.contract.output_schema == one.contract.output_schema
    positional, keywords = merge.arguments(b'{"first":[{"x":1,"y":0}],"second":[{"x":2,"y":3}]}', Context())
    assert (positional, keywords) == ([[Point(1, 0)], [Point(2, 3)]], {})
    assert json.loads(merge.encode(merge.function(*positional))) == [{"x": 1, "y": 0}, {"x": 2, "y": 3}]
    with pytest.raises(InputError):
        merge.arguments(b'{"first":[]}', Context())


def test_a_merge_runs_where_its_own_kind_of_function_does():
    @agent(partition="run", merge=both, runtime="trio", concurrency=4)
    async def one(): ...

    @agent(partition="run", merge=slowly)
    def two(): ...

    @agent(partition="run", merge=slowly, runtime="trio")
    async def three(): ...

    @agent(partition="run")
    def four(): ...

    contracts = [bound.contract for bound in bounds_of([one, two, three, four])]
    assert [(each.name, each.runtime, each.concurrency) for each in contracts if "merge" in each.name] == [
        ("one.merge", "thread", 1),
        ("two.merge", "asyncio", 1),
        ("three.merge", "trio", 1),
    ]
    assert len(contracts) == 7
    with pytest.raises(ContractError, match="four has no merge"):
        Bound(four, is_merge=True)


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"merge": both}, 'merge is for partition="run"'),
        ({"partition": "run", "merge": lambda one: one}, "two positional"),
        ({"partition": "run", "merge": lambda *both: both}, "two positional"),
        ({"partition": "run", "merge": lambda one, *, other: one}, "two positional"),
        ({"partition": "run", "merge": len}, "must be a function"),
        ({"partition": "run", "merge": agent(name="pair")(lambda one, two: one)}, "no agent itself"),
        ({"partition": "run", "merge": lambda one, two: (yield)}, "generator"),
        ({"partition": "run", "merge": both, "name": "n" * 60}, "n.merge.*64"),
        ({"name": "mine.merge"}, "end in '.merge'"),
    ],
)
def test_what_cannot_be_a_merge_is_refused_where_it_is_written(options, text):
    with pytest.raises(ContractError, match=text):

        @agent(**options)
        def refused(): ...


def test_only_functions_with_an_answer_can_be_agents():
    with pytest.raises(ContractError, match="function"):
        agent(len)
    with pytest.raises(ContractError, match="generator"):

        @agent
        def generates():
            yield 1


def test_one_parameter_is_the_payload():
    @agent
    def one(point: Point) -> int:
        return point.x

    assert schema_of(one)["$defs"]["Point"]["required"] == ["x"]
    assert call(one, b'{"x":3}') == 3


def test_several_parameters_are_an_object_of_them():
    @agent
    def many(a: int, ctx, /, b: str = "b", *, pair: Pair = PAIR) -> list[Any]:
        return [a, ctx.attempt, b, pair]

    assert call(many, b'{"a":1}', Context(attempt=9)) == [1, 9, "b", [1, 2]]
    assert call(many, b'{"a":1,"b":"c","pair":[3,4]}') == [1, 1, "c", [3, 4]]
    assert schema_of(many)["$defs"]["many"]["additionalProperties"] is False
    with pytest.raises(InputError):
        Bound(many).arguments(b'{"a":1,"c":2}', Context())


def test_no_parameter_is_null():
    @agent
    def none(ctx) -> None: ...

    assert schema_of(none) == {"type": "null"}
    assert call(none, b"null") is None


def test_unannotated_is_anything():
    @agent
    def anything(value):
        return value

    contract = Bound(anything).contract
    assert (contract.input_schema, contract.output_schema) == (b"true", b"true")
    assert call(anything, b'{"a":[1,null]}') == {"a": [1, None]}


def test_types_of_many_kinds_have_schemas():
    class Mood(msgspec.Struct):
        name: Literal["good", "bad"]

    @agent
    def many(mood: "Mood", maybe: int | None = None, words: "dict[str, list[str]] | None" = None) -> bytes:
        return b"x"

    with pytest.raises(ContractError, match="module level"):
        Bound(many)  # Mood is local: its name cannot be found from the module

    @agent
    def few(maybe: int | None, words: dict[str, list[str]]) -> set[int]:
        return {1}

    assert call(few, b'{"maybe":null,"words":{"a":["b"]}}') == [1]


@pytest.mark.parametrize(
    ("source", "text"),
    [
        ("def f(x: complex): ...", "parameter 'x'"),
        ("def f(x: int, y: type): ...", "parameter 'y'"),
        ("def f() -> complex: ...", "the return value"),
        ("def f(x: 'Missing'): ...", "Missing"),
        ("def f(*args): ...", "args"),
        ("def f(**options): ...", "options"),
        ("def f(ctx: int): ...", "ctx"),
        ("def f(ctx, also: Context): ...", "keep one"),
    ],
)
def test_types_without_a_schema_are_named_with_the_remedy(source, text):
    names: dict[str, Any] = {"agent": agent, "Context": Context}
    exec("@agent\n" + source, names)
    with pytest.raises(ContractError, match=text):
        Bound(names["f"])


def test_value_without_json_form_is_an_output_error():
    @agent
    def strange():
        return object()

    with pytest.raises(OutputError, match="object"):
        Bound(strange).encode(object())


def test_two_agents_of_one_name_are_refused():
    @agent(name="same")
    def one(): ...

    @agent(name="same")
    def two(): ...

    assert marked_functions([one, one, 5, len]) == [one]
    with pytest.raises(ContractError, match="two agents"):
        marked_functions([one, two])


def test_context_without_arguments_is_fit_for_a_unit_test():
    lines: list[str] = []
    context = Context(write=lines.append)
    context.log("one\ntwo")
    assert context.deadline == float("inf")
    assert (context.attempt, context.fence, context.failures) == (1, 1, ())
    assert lines == ["[agent 00000000] one", "[agent 00000000] two"]
    assert Context(remaining_s=lambda: -1.0).deadline == 0.0


def test_contract_travels_as_plain_values():
    contract = Contract(name="a", memory_bytes=64 << 20)
    plain = msgspec.to_builtins(contract, builtin_types=(bytes,))
    assert msgspec.convert(plain, Contract, builtin_types=(bytes,)) == contract
    with pytest.raises(msgspec.ValidationError, match="retries"):
        msgspec.convert({**plain, "retries": -4}, Contract, builtin_types=(bytes,))
