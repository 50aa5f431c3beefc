"""Functions of every kind, in a real worker: what they get, what they give, what they log."""

import json
from pathlib import Path

from hubless_agents import Effect, Failed, Succeeded, Withdrawn

AGENTS = """
    import asyncio
    from dataclasses import dataclass
    from typing import TypedDict

    from hubless_agents import Context, agent

    @dataclass
    class Order:
        item: str
        count: int

    class Bill(TypedDict):
        total: int

    @agent
    def echo(value):
        return value

    @agent
    def price(order: Order, each: int = 2) -> Bill:
        return {"total": order.count * each}

    @agent
    def nothing() -> None:
        print("did nothing")

    @agent
    def about(ctx: Context) -> dict:
        ctx.log("here\\nand there")
        return {"task": ctx.task, "attempt": ctx.attempt, "fence": ctx.fence, "left": ctx.deadline}

    @agent(on_breach={"schema": "retry"}, retries=1)
    def learns(ctx) -> int:
        return 7 if ctx.failures else "seven"

    @agent(on_breach={"raised": "retry"}, retries=1)
    def raises_again(ctx):
        raise ValueError(len(ctx.failures))

    @agent
    async def waits(seconds: float) -> float:
        await asyncio.sleep(seconds)
        return seconds

    barrier = None

    @agent(concurrency=2)
    async def meets(name: str) -> str:
        global barrier
        barrier = barrier or asyncio.Barrier(2)
        await barrier.wait()
        return name

    @agent(runtime="trio")
    async def on_trio(value: int) -> int:
        import trio
        await trio.sleep(0)
        return value + 1

    @agent
    async def reports_cancel(path: str) -> None:
        try:
            print("waiting", flush=True)
            await asyncio.Event().wait()
        finally:
            open(path, "w").close()
"""


def payload_of(outcome):
    assert isinstance(outcome, Succeeded), outcome
    return json.loads(outcome.payload)


def test_payloads_follow_the_parameters(node):
    one = node(AGENTS).ready()
    assert payload_of(one.call("echo", b'{"any":[1,null]}')) == {"any": [1, None]}
    assert payload_of(one.call("price", b'{"order":{"item":"tea","count":3}}')) == {"total": 6}
    assert payload_of(one.call("price", b'{"order":{"item":"tea","count":3},"each":5}')) == {"total": 15}
    assert payload_of(one.call("nothing")) is None


def test_input_that_does_not_fit_never_reaches_the_agent(node):
    one = node(AGENTS).ready()
    for agent, payload in [
        ("price", b'{"order":{"item":"tea","count":"3"}}'),
        ("price", b'{"order":{"item":"tea","count":3},"ech":5}'),
        ("nothing", b"1"),
        ("echo", b"{"),
        ("echo", b"[" * 5000 + b"]" * 5000),
    ]:
        outcome = one.call(agent, payload)
        assert isinstance(outcome, Failed)
        assert (outcome.failure.code, outcome.failure.effect) == ("bad_input", Effect.NONE)


def test_context_tells_task_attempt_and_time_left(node):
    one = node(AGENTS).ready()
    told = payload_of(one.call("about", deadline_s=10.0))
    assert told["task"] == (1).to_bytes(16, "big").hex()
    assert told["attempt"] == told["fence"] == 1
    assert 0 < told["left"] <= 10.0
    one.until(lambda: len(one.lines) >= 2)
    assert [line for _, _, line in one.lines] == ["[about 00000000] here", "[about 00000000] and there"]


def test_rejected_answer_is_corrected_by_the_same_task(node):
    one = node(AGENTS).ready()
    assert payload_of(one.call("learns")) == 7
    assert one.supervisor.counters.repeated == 1
    assert one.supervisor.counters.kills == 0


def test_repetitions_are_bounded(node):
    one = node(AGENTS).ready()
    outcome = one.call("raises_again")
    assert isinstance(outcome, Failed)
    assert outcome.failure.code == "raised"
    assert outcome.failure.message == "ValueError: 1"


def test_async_agents_run_together_up_to_their_concurrency(node):
    one = node(AGENTS).ready()
    keys = [one.ask("meets", b'"a"'), one.ask("meets", b'"b"')]
    assert [payload_of(one.answer(key)) for key in keys] == ["a", "b"]


def test_trio_agents_run_beside_the_others(node):
    one = node(AGENTS).ready()
    assert payload_of(one.call("on_trio", b"1")) == 2
    assert payload_of(one.call("waits", b"0.0")) == 0.0
    assert payload_of(one.call("echo", b"2")) == 2


def test_withdrawn_async_task_is_cancelled_in_its_worker(node, tmp_path: Path):
    one = node(AGENTS).ready()
    mark = tmp_path / "cancelled"
    key = one.ask("reports_cancel", json.dumps(str(mark)).encode())
    one.until(lambda: any("waiting" in line for _, _, line in one.lines))
    one.handle(Withdrawn(key[0]))
    outcome = one.answer(key)
    assert isinstance(outcome, Failed)
    assert (outcome.failure.code, outcome.failure.effect) == ("cancelled", Effect.MAYBE)
    assert payload_of(one.call("echo", b"1")) == 1  # the only worker is free again
    assert mark.exists()
    assert one.supervisor.counters.kills == 0


def test_prefetched_tasks_are_taken_back_from_behind_a_slow_one(node, tmp_path: Path):
    one = node(
        """
        import time
        from pathlib import Path
        from hubless_agents import agent

        @agent
        def quick_or_not(path: str) -> str:
            while path and not Path(path).exists():
                time.sleep(0.001)
            return path
        """,
        workers=2,
        spares=0,
    ).ready(2)
    for _ in range(3):
        one.call("quick_or_not", b'""')
    gate = tmp_path / "gate"
    slow = one.ask("quick_or_not", json.dumps(str(gate)).encode())
    quick = [one.ask("quick_or_not", b'""') for _ in range(40)]
    for key in quick:  # none of them waits for the slow one
        assert payload_of(one.answer(key)) == ""
    assert slow not in one.outcomes
    gate.touch()
    assert payload_of(one.answer(slow)) == str(gate)


def test_file_named_like_an_installed_module_hides_nothing(node, user_file):
    user_file("PRICE = 4", "neighbour.py")
    one = node(
        """
        import json
        import neighbour
        from hubless_agents import agent

        @agent
        def look() -> str:
            return json.dumps(neighbour.PRICE)
        """,
        name="json.py",
    ).ready()
    assert payload_of(one.call("look")) == "4"


def test_pydantic_models_are_contracts_too(node):
    one = node(
        """
        from pydantic import BaseModel, Field
        from hubless_agents import agent

        class Question(BaseModel):
            text: str = Field(min_length=2)

        class Answer(BaseModel):
            words: list[str]

        @agent
        def split(question: Question) -> Answer:
            return Answer(words=question.text.split())
        """
    ).ready()
    assert payload_of(one.call("split", b'{"text":"a b"}')) == {"words": ["a", "b"]}
    outcome = one.call("split", b'{"text":""}')
    assert isinstance(outcome, Failed)
    assert outcome.failure.code == "bad_input"


def test_worker_imports_only_what_its_agents_need(node):
    one = node(
        """
        import sys
        from hubless import agent

        @agent
        def heavy() -> list[str]:
            return [name for name in NAMES if name in sys.modules]

        NAMES = ["anyio", "asyncio", "click", "jsonschema_rs", "pydantic", "rich", "subprocess", "trio", "zmq"]
        """
    ).ready()
    assert payload_of(one.call("heavy")) == []


def test_a_merge_runs_as_a_companion_of_its_agent(node):
    one = node(
        """
        from pydantic import BaseModel
        from hubless_agents import agent

        class Stock(BaseModel):
            sold: int = 0

        def add_up(first: Stock, second: Stock) -> Stock:
            return Stock(sold=first.sold + second.sold)

        async def larger(one, other):
            return max(one, other)

        @agent(partition="run", merge=add_up)
        def sell() -> Stock: ...

        @agent(partition="run", merge=larger)
        def lend() -> int: ...
        """
    ).ready()
    both = b'{"first":{"sold":2},"second":{"sold":3}}'
    assert payload_of(one.call("sell.merge", both)) == {"sold": 5}
    assert payload_of(one.call("lend.merge", b'{"first":2,"second":3}')) == 3
    outcome = one.call("sell.merge", b'{"first":{"sold":2}}')
    assert isinstance(outcome, Failed)
    assert outcome.failure.code == "bad_input"
