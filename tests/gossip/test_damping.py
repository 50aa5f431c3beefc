"""What subscribers hear of a flapping member, and how losses are reported."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from hubless_gossip import Address, Condition, EventsLost, GossipConfig, Member, MemberChanged
from hubless_gossip.damping import Damper, EventQueue

S = 1_000_000_000
CONFIG = GossipConfig.lan(flap_budget=4, flap_window_ms=600_000, settle_ms=5000)


def member(condition: Condition, boot: int = 1) -> Member:
    return Member("x", boot, 1, condition, Address("h", 1), b"", 0, 0)


class Flapping:
    """Feeds a damper with one member's conditions and keeps what it tells."""

    def __init__(self) -> None:
        self.damper = Damper(CONFIG)
        self.told: list[MemberChanged] = []
        self.now = 0
        self.member = member(Condition.ALIVE)

    def become(self, condition: Condition, *, boot: int = 1, certain: bool = False) -> None:
        before = (self.member.boot, self.member.condition)
        self.member = member(condition, boot)
        event = self.damper.changed(self.now, self.member, before, certain=certain)
        self.told += [event] if event is not None else []

    def wait(self, seconds: float) -> None:
        self.now += int(seconds * S)
        self.told += self.damper.settled(self.now, lambda _: self.member)  # type: ignore[arg-type]


def test_a_newcomer_is_told_at_once_and_costs_nothing() -> None:
    event = Damper(CONFIG).changed(0, member(Condition.ALIVE), None, certain=False)
    assert event == MemberChanged(member(Condition.ALIVE), None)


def test_ten_minutes_of_flapping_cost_a_few_events() -> None:
    flapping = Flapping()
    for _ in range(150):
        flapping.become(Condition.SUSPECT)
        flapping.wait(2)
        flapping.become(Condition.ALIVE)
        flapping.wait(2)
    assert len(flapping.told) <= CONFIG.flap_budget + 1


def test_slow_flapping_costs_few_events_as_well() -> None:
    flapping = Flapping()
    for _ in range(30):
        flapping.become(Condition.DEAD)
        flapping.wait(10)
        flapping.become(Condition.ALIVE)
        flapping.wait(10)
    assert len(flapping.told) <= CONFIG.flap_budget + 4


def _flapped() -> Flapping:
    """A member that has used up its budget; last told: alive."""
    flapping = Flapping()
    for _ in range(4):
        flapping.become(Condition.SUSPECT)
        flapping.become(Condition.ALIVE)
    return flapping


def test_a_condition_that_lasts_is_told_after_all() -> None:
    flapping = _flapped()
    flapping.become(Condition.SUSPECT)
    before = len(flapping.told)
    flapping.wait(4)
    assert len(flapping.told) == before
    flapping.wait(2)
    assert flapping.told[-1].member.condition == Condition.SUSPECT
    assert flapping.told[-1].previous == Condition.ALIVE


def test_the_death_of_a_flapping_member_is_told_at_once_and_its_return_when_it_lasts() -> None:
    flapping = _flapped()
    flapping.become(Condition.SUSPECT)
    flapping.become(Condition.DEAD)
    assert flapping.told[-1].member.condition == Condition.DEAD
    flapping.become(Condition.ALIVE)
    flapping.wait(4)
    assert flapping.told[-1].member.condition == Condition.DEAD
    flapping.wait(2)
    assert flapping.told[-1].member.condition == Condition.ALIVE


def test_a_suspicion_of_a_flapping_member_that_is_held_for_well_is_told_at_once() -> None:
    flapping = Flapping()
    for _ in range(CONFIG.flap_budget):
        flapping.become(Condition.BUSY)
        flapping.become(Condition.ALIVE)
    flapping.wait(60)
    assert flapping.told[-1].member.condition is Condition.ALIVE
    flapping.become(Condition.SUSPECT)
    assert flapping.told[-1].member.condition is Condition.SUSPECT


def test_what_the_kernel_proved_is_told_at_once() -> None:
    flapping = Flapping()
    for _ in range(10):
        flapping.become(Condition.SUSPECT)
        flapping.become(Condition.ALIVE)
    flapping.become(Condition.DEAD, certain=True)
    assert flapping.told[-1].member.condition == Condition.DEAD


def test_a_restarted_process_has_a_budget_of_its_own_but_not_for_ever() -> None:
    flapping = Flapping()
    for boot in range(2, 300):
        flapping.become(Condition.DEAD, boot=boot - 1, certain=True)
        flapping.become(Condition.ALIVE, boot=boot)
        flapping.wait(1)
    assert 20 < len(flapping.told) < 60


@settings(max_examples=100, deadline=None)
@given(st.lists(st.tuples(st.sampled_from(list(Condition)[:4]), st.floats(0, 60)), max_size=60))
def test_previous_is_what_was_told_last_and_the_last_condition_is_told_in_the_end(
    steps: list[tuple[Condition, float]],
) -> None:
    flapping = Flapping()
    for condition, seconds in steps:
        if condition != flapping.member.condition:
            flapping.become(condition)
        flapping.wait(seconds)
    flapping.wait(1e6)
    known = Condition.ALIVE
    for event in flapping.told:
        assert event.previous == known
        assert event.member.condition != known
        known = event.member.condition
    assert known == flapping.member.condition


def test_the_queue_reports_its_losses() -> None:
    queue = EventQueue(3)
    event = MemberChanged(member(Condition.ALIVE), None)
    for _ in range(5):
        queue.add(event)
    assert queue.drain() == [event] * 3 + [EventsLost(2)]
    queue.add(event)
    assert queue.drain() == [event]
    assert queue.lost_in_all == 2
