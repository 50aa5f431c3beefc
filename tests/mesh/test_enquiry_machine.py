"""Questions and orders under arbitrary sequences of words, answers, deaths and time.

The model remembers whom each was put to, and what became of that.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import count

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from hubless.effects import NodeEffect, ToClient, ToPeer
from hubless.enquiry import Enquiries
from hubless.placement import mint_task_id
from hubless.view import View
from hubless.wire import Ask, Consult, Consulted, Told
from hubless_agents import Effect, Failure
from hubless_gossip import Address, Condition, Member

MS = 1_000_000
PATIENCE_NS = 2_000 * MS
SHARDS = (3, 4)
NODES = ("n0", "n1", "n2")
MOST_PUT = 4 + PATIENCE_NS // (100 * MS)
NODE, SHARD = st.sampled_from(NODES), st.sampled_from(SHARDS)


@dataclass
class Asked:
    """What a client asked, to whom that was put, and who of these may have carried it out."""

    what: str
    due_ns: int
    number: int = 0
    put_to: list[str] = field(default_factory=list)
    in_doubt: str = ""

    @property
    def is_order(self) -> bool:
        return self.what in ("cancel", "retry")


class EnquiriesMachine(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.now_ns = 0
        self.clients = count()
        self.open: dict[bytes, Asked] = {}
        self.view = View(me="n0", shards=16)
        for node in NODES:
            self.becomes(node, Condition.ALIVE)
        self.view.ring_built(self.view.preferences.changed(self.view.ring_members()))
        self.enquiries = Enquiries(me="n0", view=self.view, numbers=count(1), patience_ns=PATIENCE_NS)
        self.begun = 0

    def becomes(self, node: str, condition: Condition) -> None:
        address = Address("127.0.0.1", 10_000 + int(node[1:]))
        self.view.learn(Member(node, 1, 0, condition, address, b"", 0, 0))

    def follow(self, out: list[NodeEffect]) -> None:
        """What is told and put agrees with what came before."""
        for effect in out:
            match effect:
                case ToPeer(node=node, message=Consult(request=number, what=what)):
                    (asked,) = (each for each in self.open.values() if each.number == number)
                    assert asked.what == what
                    assert self.now_ns < asked.due_ns
                    assert not asked.is_order or not asked.in_doubt, "an order is not put twice"
                    assert self.view.is_present(node)
                    asked.put_to.append(node)
                    asked.in_doubt = node
                    assert len(asked.put_to) <= MOST_PUT
                case ToClient(route=route, message=Told(failure=failure)):
                    asked = self.open.pop(route)  # once
                    if failure is not None and failure.code == "unreachable":
                        may_be = asked.is_order and asked.in_doubt
                        assert failure.effect is (Effect.MAYBE if may_be else Effect.NONE)

    @rule(shard=SHARD, what=st.sampled_from(["status", "result", "cancel", "retry"]))
    def ask(self, shard: int, what: str) -> None:
        route, out = str(next(self.clients)).encode(), list[NodeEffect]()
        self.begun += 1
        self.open[route] = Asked(what, self.now_ns + PATIENCE_NS, self.begun)
        task = mint_task_id(shard, bytes(14)).hex()
        self.enquiries.begin(self.now_ns, route, Ask(1, what, task), out)
        self.follow(out)

    @rule(shard=SHARD, node=NODE, is_old=st.booleans())
    def word(self, shard: int, node: str, is_old: bool) -> None:
        self.view.learn_owner(shard, self.view.term_of_shard(shard) + (not is_old), node)

    @rule(shard=SHARD)
    def owner_denies_it(self, shard: int) -> None:
        self.view.doubt_owner(shard, self.view.owner_of_shard(shard) or "")

    @precondition(lambda self: any(asked.put_to for asked in self.open.values()))
    @rule(data=st.data(), is_refused=st.booleans())
    def answer(self, data: st.DataObject, is_refused: bool) -> None:
        """Somebody who was asked answers, perhaps when it is asked no more."""
        route = data.draw(st.sampled_from([route for route, asked in self.open.items() if asked.put_to]))
        asked = self.open[route]
        node = data.draw(st.sampled_from(asked.put_to))
        moves = Failure(code="unreachable", message="it moves", where=node) if is_refused else None
        is_heard = asked.in_doubt == node
        if is_heard and is_refused:
            asked.in_doubt = ""
        out: list[NodeEffect] = []
        self.enquiries.consulted(self.now_ns, node, Consulted(asked.number, b"1", moves), out)
        self.follow(out)
        if asked.is_order and is_heard and not is_refused:
            assert route not in self.open

    @rule(node=NODE, condition=st.sampled_from([Condition.DEAD, Condition.SUSPECT]))
    def is_lost(self, node: str, condition: Condition) -> None:
        self.becomes(node, condition)
        out: list[NodeEffect] = []
        self.enquiries.peer_lost(self.now_ns, node, out)
        self.follow(out)
        assert not any(asked.is_order and asked.in_doubt == node for asked in self.open.values())

    @rule(node=NODE)
    def is_back(self, node: str) -> None:
        self.becomes(node, Condition.ALIVE)

    @rule(passed_ms=st.sampled_from([1, 50, 100, 400, 1_000, 3_000]), is_held_up=st.booleans())
    def time_passes(self, passed_ms: int, is_held_up: bool) -> None:
        """From one deadline to the next, or all at once at a node that is held up."""
        ends_ns = self.now_ns + passed_ms * MS
        due_ns = self.enquiries.next_deadline_ns()
        while due_ns is not None and due_ns <= ends_ns:
            self.now_ns = ends_ns if is_held_up else due_ns
            out: list[NodeEffect] = []
            self.enquiries.tick(self.now_ns, out)
            self.follow(out)
            due_ns = self.enquiries.next_deadline_ns()
            assert due_ns is None or due_ns > self.now_ns
        self.now_ns = ends_ns

    @invariant()
    def everybody_is_answered_in_time(self) -> None:
        assert len(self.enquiries) == len(self.open)
        if self.open:
            due_ns = self.enquiries.next_deadline_ns()
            assert due_ns is not None
            assert due_ns <= min(asked.due_ns for asked in self.open.values())
            assert all(asked.due_ns > self.now_ns for asked in self.open.values())


TestEnquiries = EnquiriesMachine.TestCase
TestEnquiries.settings = settings(max_examples=200, stateful_step_count=50, deadline=None)
