"""Questions and orders of a client whose nodes come and go, with the nodes played by the test: no sockets."""

from __future__ import annotations

import msgspec
import pytest
import trio

from hubless.client.errors import UnreachableError
from hubless.client.gateways import Trouble, TroubleKind
from hubless.client.wiring import Wiring
from hubless.wire import Ask, Told
from hubless_agents import Effect

A, B = "127.0.0.1:1", "127.0.0.1:2"
LOST = Trouble(TroubleKind.GONE, "the connection was lost")


class _Asked:
    """An answer that is waited for; `asked` are the questions that each node has got."""

    def __init__(self, desk, nursery) -> None:
        self._desk = desk
        self._wiring = Wiring(desk.session, nursery)
        self._nursery = nursery
        self.told: dict | UnreachableError | None = None

    async def ask(self, what: str, *, at: str | None = None) -> tuple[str, Ask]:
        """Asks, and gives the node that was asked and what it got."""

        async def wait() -> None:
            try:
                self.told = await self._wiring.ask(what, "", at=at, timeout=5.0)
            except UnreachableError as problem:
                self.told = problem

        self._nursery.start_soon(wait)
        return await self.next()

    async def next(self) -> tuple[str, Ask]:
        await trio.testing.wait_all_tasks_blocked()
        ((node, (ask,)),) = self._desk.sent().items()
        return node, ask

    async def lose(self, node: str) -> None:
        self._desk.session.lost(0, node, LOST)
        await trio.testing.wait_all_tasks_blocked()


@pytest.fixture
def desk(Desk):
    desk = Desk(A, B)
    desk.up(A, B)
    desk.sent()
    return desk


async def test_another_node_is_asked_when_the_first_is_lost(desk, nursery, autojump_clock):
    asked = _Asked(desk, nursery)
    first, _ = await asked.ask("shards")
    await asked.lose(first)
    second, question = await asked.next()
    assert {first, second} == {A, B}
    desk.hear(second, Told(question.request, msgspec.json.encode({"shards": []})))
    await trio.testing.wait_all_tasks_blocked()
    assert asked.told == {"shards": []}


async def test_an_order_is_given_once_and_may_have_been_carried_out(desk, nursery, autojump_clock):
    asked = _Asked(desk, nursery)
    first, _ = await asked.ask("cancel")
    await asked.lose(first)
    assert desk.sent() == {}
    assert isinstance(asked.told, UnreachableError)
    assert asked.told.effect is Effect.MAYBE
    assert "the connection was lost: it may have been done, see `mesh status`" in str(asked.told)


async def test_who_names_a_node_is_not_answered_by_another(desk, nursery, autojump_clock):
    asked = _Asked(desk, nursery)
    assert (await asked.ask("node", at=B))[0] == B
    await asked.lose(B)
    assert desk.sent() == {}
    assert isinstance(asked.told, UnreachableError) and asked.told.effect is Effect.NONE


async def test_when_the_last_node_is_lost_it_is_told_what_happened_to_it(desk, nursery, autojump_clock):
    asked = _Asked(desk, nursery)
    await asked.ask("shards")
    for node in (A, B):
        await asked.lose(node)
        desk.sent()
    assert "the connection was lost: see whether its nodes are well" in str(asked.told)


async def test_an_order_that_nobody_could_be_given_has_changed_nothing(Desk, nursery, autojump_clock):
    with pytest.raises(UnreachableError, match="no node of the mesh is connected: see whether") as caught:
        await Wiring(Desk(A).session, nursery).ask("cancel", "", at=None, timeout=5.0)
    assert caught.value.effect is Effect.NONE


async def test_who_hears_nothing_is_told_so_in_time(desk, nursery, autojump_clock):
    asked = _Asked(desk, nursery)
    await asked.ask("shards")
    await trio.sleep(6)
    assert "no answer to 'shards' in 5 s" in str(asked.told)
