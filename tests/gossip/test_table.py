"""The table: a RuleBasedStateMachine against a dictionary, with digests recomputed from nothing."""

from __future__ import annotations

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from hubless_gossip import Address, Condition
from hubless_gossip.claims import Claim, Rank, Standing, Statement, fingerprint, join
from hubless_gossip.digest import ViewHash, bucket_of
from hubless_gossip.table import Table

nodes = st.sampled_from([f"n{number}" for number in range(6)])
small = st.integers(0, 2)


class TableAgainstDictionary(RuleBasedStateMachine):
    @initialize()
    def begin(self) -> None:
        self.table = Table()
        self.model: dict[str, Claim] = {}
        self.busy: set[str] = set()
        self.now = 0

    @rule(node=nodes, boot=small, incarnation=small, round_=small, rank=st.sampled_from(Rank))
    def hear(self, node: str, boot: int, incarnation: int, round_: int, rank: Rank) -> None:
        self.now += 1
        said = Statement(node, boot, incarnation, Address("h", 1), b"")
        claim = Claim(node, Standing(boot, incarnation, round_, rank), said)
        held = self.model.get(node)
        new = claim if held is None else join(held, claim)
        if held is not None and (new.standing.boot != held.standing.boot or new.standing.rank >= Rank.DEAD):
            self.busy.discard(node)
        self.model[node] = new
        self.table.put(new, self.now)

    @rule(node=nodes, load=st.integers(0, 255), busy=st.booleans())
    def tell_load(self, node: str, load: int, busy: bool) -> None:
        if node in self.model and self.model[node].standing.rank < Rank.DEAD:
            self.table.hear_load(node, load, busy)
            (self.busy.add if busy else self.busy.discard)(node)

    @rule(node=nodes)
    def drop(self, node: str) -> None:
        if node in self.model and self.model[node].standing.rank >= Rank.DEAD:
            self.table.drop(node)
            del self.model[node]

    @invariant()
    def the_same_members(self) -> None:
        assert [member.node for member in self.table.members()] == sorted(self.model)
        for member in self.table.members():
            claim = self.model[member.node]
            rank = claim.standing.rank
            shown = Condition.BUSY if rank == Rank.ALIVE and member.node in self.busy else Condition(rank)
            assert (member.condition, member.boot) == (shown, claim.standing.boot)

    @invariant()
    def counts_and_digest_are_those_of_the_live(self) -> None:
        live = [claim for claim in self.model.values() if claim.standing.rank < Rank.DEAD]
        anew = ViewHash()
        for claim in live:
            anew.add(claim.node, fingerprint(claim))
        assert (anew.total, anew.sums) == (self.table.digest.total, self.table.digest.sums)
        assert len(self.table.ring) == len(live)
        assert self.table.suspects == sum(claim.standing.rank == Rank.SUSPECT for claim in live)
        troubled = {claim.node for claim in live if claim.standing.rank != Rank.ALIVE}
        assert set(self.table.troubled) == troubled
        assert set(self.table.finals()) == set(self.model) - {claim.node for claim in live}


TestTable = TableAgainstDictionary.TestCase
TestTable.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)


def test_what_a_member_said_of_its_load_is_forgotten_with_it() -> None:
    """Who is held dead and runs says its load all the same; it was shown of whoever was met by that name later."""
    table = Table()
    said = Statement("x", 1, 1, Address("h", 1), b"")
    table.put(Claim("x", Standing(1, 1, 0, Rank.DEAD), said), 1)
    table.hear_load("x", 200, True)
    table.drop("x")
    table.put(Claim("x", Standing(1, 2, 0, Rank.ALIVE), said), 2)
    member = table.member("x")
    assert member is not None
    assert (member.load, member.condition) == (0, Condition.ALIVE)


def test_a_view_hash_finds_the_bucket_that_differs() -> None:
    one, other = ViewHash(), ViewHash()
    for number in range(100):
        one.add(f"n{number}", number + 1)
        if number != 42:
            other.add(f"n{number}", number + 1)
    assert one.differing(tuple(other.sums)) == 1 << bucket_of("n42")
    one.remove("n42", 43)
    assert one.differing(tuple(other.sums)) == 0
