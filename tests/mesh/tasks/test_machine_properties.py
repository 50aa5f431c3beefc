"""Every log, against a model too dumb to be wrong, and against replicas that came another way to the same log."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from hubless.tasks.entries import (
    AttemptEnded,
    AttemptStarted,
    Cancelled,
    Entered,
    Entry,
    Expired,
    Follows,
    Forked,
    Merged,
    Retried,
    Submitted,
    encode_entry,
)
from hubless.tasks.machine import Machine
from hubless.tasks.retention import Retention
from hubless.tasks.row import Row
from hubless_agents import Effect, Failure

FINISHED = {"succeeded", "failed", "dead", "cancelled", "expired"}
STRONGER = {"none": 0, "maybe": 1, "done": 2}
BOUNDS = Retention(kept_ms=60, rows=3, size_bytes=1 << 40, dead_kept_ms=200, dead_rows=2, dead_bytes=1 << 40)
TIGHT = Retention(kept_ms=60, rows=4, size_bytes=2_000, dead_kept_ms=200, dead_rows=2, dead_bytes=1_500)
FAILURES = [
    Failure(code="worker_died", message="gone", effect=Effect.MAYBE),
    Failure(code="overloaded", message="full"),
    Failure(code="bad_output", message="not JSON", effect=Effect.DONE),
]

tasks = st.sampled_from([bytes([number]) * 16 for number in range(6)])
numbers = st.integers(1, 3)
times = st.integers(0, 400)
payloads = st.sampled_from([b"", b"a", b"b" * 300])
nodes = st.sampled_from(["n1", "n2", "n3"])
failures = st.sampled_from(FAILURES)
follows = st.sampled_from(Follows)
maybe_nodes = st.sampled_from(["", "n1", "n2"])

submissions = st.builds(
    Submitted,
    tasks,
    st.sampled_from(["echo", "sum"]),
    st.just(""),
    payloads,
    times,
    times,
    st.just(2),
    maybe_nodes,
)
entered = st.builds(
    Entered,
    tasks,
    st.just("echo"),
    st.just(""),
    payloads,
    st.sampled_from([b"x", b"y"]),
    st.none(),
    nodes,
    times,
) | st.builds(Entered, tasks, st.just("echo"), st.just(""), payloads, st.none(), failures, nodes, times)
entries = st.one_of(
    submissions,
    submissions,
    st.builds(AttemptStarted, tasks, numbers, nodes, times),
    st.builds(AttemptEnded, tasks, numbers, st.just(b"result"), st.none(), times, follows, maybe_nodes),
    st.builds(AttemptEnded, tasks, numbers, st.none(), failures, times, follows, maybe_nodes),
    st.builds(Expired, tasks, failures, times),
    st.builds(Cancelled, tasks, times),
    st.builds(Retried, tasks, times, times),
    st.builds(Forked, times, st.just("operator")),
    entered,
    entered,
    st.builds(Merged, tasks, st.integers(-1, 4), st.sampled_from([b"x", b"merged"]), times),
)
bodies = st.one_of(entries.map(encode_entry), entries.map(encode_entry), st.binary(max_size=12))
logs = st.lists(bodies, max_size=60)


@dataclass(frozen=True)
class Known:
    """What the model knows of a task. `turn` orders: when it was submitted, or when it ended."""

    turn: int
    submission: tuple[str, str, bytes]
    state: str = "queued"
    attempt: int = 0
    executor: str = ""
    result: bytes | None = None
    failures: tuple[Failure, ...] = ()
    ended_ms: int = 0
    deadline_ms: int = 0
    forked: bool = False
    provisional: str = ""
    superseded: tuple[tuple[str, bytes | None, Failure | None], ...] = ()
    to_merge: frozenset[int] = frozenset()
    first: bytes | None = None
    ran_when_cancelled: bool = False


@dataclass
class Model:
    """The rules once more: a dictionary that is copied on every change and searched in full for what is too old."""

    known: dict[bytes, Known] = field(default_factory=dict)
    clock_ms: int = 0
    turn: int = 0

    def apply(self, entry: Entry) -> bool:
        """Whether the entry fitted."""
        self.turn += 1
        self.clock_ms = max(self.clock_ms, entry.at_ms)
        if isinstance(entry, Forked):
            for task, one in self.known.items():
                if one.state not in FINISHED:
                    self.known[task] = replace(one, forked=True)
            fits = True
        else:
            before = self.known.get(entry.task)
            after = self.changed(before, entry)
            fits = after is not None
            if after is not None:
                self.known[entry.task] = after
        self.forget()
        return fits

    def changed(self, one: Known | None, entry: Entry) -> Known | None:
        if isinstance(entry, Submitted | Entered) and one is None:
            one = Known(self.turn, (entry.agent, entry.key, entry.payload))
            if isinstance(entry, Submitted):
                one = replace(one, deadline_ms=entry.deadline_ms)
                return self.started(one, entry.executor) if entry.executor else one
            return self.entered(replace(one, deadline_ms=entry.at_ms), entry)
        if one is None or isinstance(entry, Submitted):
            return None
        if isinstance(entry, Retried):
            return self.retried(one, entry) if one.state in FINISHED - {"succeeded"} else None
        if isinstance(entry, Entered):
            return self.entered(one, entry)
        if isinstance(entry, Merged):
            if one.state != "succeeded" or entry.number not in one.to_merge:
                return None
            first = one.result if one.first is None else one.first
            return replace(one, result=entry.result, first=first, to_merge=one.to_merge - {entry.number})
        if one.state in FINISHED:
            return None
        if isinstance(entry, Cancelled):
            ran = one.state == "running"
            return self.over(replace(one, ran_when_cancelled=one.ran_when_cancelled or ran), "cancelled")
        if isinstance(entry, Expired):
            return self.over(replace(one, failures=(*one.failures, entry.failure)), "expired")
        if isinstance(entry, AttemptStarted):
            is_next = one.state == "queued" and entry.attempt == one.attempt + 1
            return self.started(one, entry.executor) if is_next else None
        assert isinstance(entry, AttemptEnded)
        return self.ended(one, entry) if one.state == "running" and entry.attempt == one.attempt else None

    def started(self, one: Known, executor: str) -> Known:
        return replace(one, state="running", attempt=one.attempt + 1, executor=executor)

    def over(self, one: Known, state: str) -> Known:
        return replace(one, state=state, ended_ms=self.clock_ms, turn=self.turn)

    def ended(self, one: Known, entry: AttemptEnded) -> Known:
        if entry.failure is None:
            return self.over(replace(one, result=entry.payload), "succeeded")
        one = replace(one, failures=(*one.failures, entry.failure))
        if entry.follows is Follows.DONE:
            return self.over(one, "failed")
        if entry.follows is Follows.DEAD:
            return self.over(one, "dead")
        one = replace(one, state="queued")
        return self.started(one, entry.executor) if entry.executor else one

    def retried(self, one: Known, entry: Retried) -> Known:
        superseded = one.superseded
        if one.provisional and len(superseded) < 4:
            superseded = (*superseded, (one.provisional, None, one.failures[-1]))
        return replace(
            one,
            turn=self.turn,
            state="queued",
            executor="",
            ended_ms=0,
            deadline_ms=entry.deadline_ms,
            provisional="",
            superseded=superseded,
        )

    def entered(self, one: Known, entry: Entered) -> Known | None:
        outcome = (entry.node, entry.result, entry.failure)
        first = one.result if one.first is None else one.first
        now = (one.provisional, first, one.failures[-1] if one.state == "failed" else None)
        if outcome in one.superseded or outcome == now:
            return None
        if one.state in FINISHED or one.submission != (entry.agent, entry.key, entry.payload):
            if len(one.superseded) == 4:
                return None
            if entry.failure is None and one.submission == (entry.agent, entry.key, entry.payload):
                one = replace(one, to_merge=one.to_merge | {len(one.superseded)})
            return replace(one, superseded=(*one.superseded, outcome))
        one = replace(one, executor=entry.node, provisional=entry.node, result=entry.result)
        if entry.failure is None:
            return self.over(one, "succeeded")
        return self.over(replace(one, failures=(*one.failures, entry.failure)), "failed")

    def ordered(self, *states: str) -> list[bytes]:
        found = [(one.turn, task) for task, one in self.known.items() if one.state in states]
        return [task for _, task in sorted(found)]

    def forget(self) -> None:
        results = FINISHED - {"dead"}
        for states, kept_ms, most in ((results, 60, 3), ({"dead"}, 200, 2)):
            finished = self.ordered(*states)
            for place, task in enumerate(finished):
                is_old = self.clock_ms - self.known[task].ended_ms > kept_ms
                if is_old or place < len(finished) - most:
                    del self.known[task]


def as_known(row: Row) -> Known:
    return Known(
        turn=0,
        submission=(row.agent, row.key, b"" if row.state == "succeeded" else row.payload),
        state=row.state.value,
        attempt=row.attempt,
        executor=row.executor,
        result=row.result,
        failures=row.failures,
        ended_ms=row.ended_ms,
        deadline_ms=row.deadline_ms,
        forked=row.forked,
        provisional=row.provisional_from,
        superseded=tuple((other.node, other.result, other.failure) for other in row.superseded),
        to_merge=frozenset(number for number, other in enumerate(row.superseded) if other.to_merge),
    )


class Replicas(RuleBasedStateMachine):
    """Two replicas of a shard, one of which is replaced by a snapshot of the other now and then, and the model."""

    @initialize()
    def begin(self) -> None:
        self.first = Machine(retention=BOUNDS)
        self.second = Machine(retention=BOUNDS)
        self.model = Model()
        self.log: list[bytes] = []

    @rule(entry=entries)
    def commit(self, entry: Entry) -> None:
        body = encode_entry(entry)
        self.log.append(body)
        said, row = self.first.apply(body)
        assert said == entry
        self.second.apply(body)
        fits = self.model.apply(entry)
        assert (row is not None) == (fits and not isinstance(entry, Forked))

    @rule(task=tasks, at_ms=times, end=st.sampled_from(["result", "failed", "dead", "cancelled", "expired"]))
    def run_to_its_end(self, task: bytes, at_ms: int, end: str) -> None:
        """Entries that fit, which chance alone seldom draws."""
        one = self.model.known.get(task)
        if one is None:
            self.commit(Submitted(task, "echo", "", b"a", at_ms, at_ms, 2))
        elif one.state == "queued":
            self.commit(AttemptStarted(task, one.attempt + 1, "n1", at_ms))
        elif one.state in FINISHED:
            self.commit(Retried(task, at_ms, at_ms))
        elif end == "cancelled":
            self.commit(Cancelled(task, at_ms))
        elif end == "expired":
            self.commit(Expired(task, FAILURES[1], at_ms))
        elif end == "result":
            self.commit(AttemptEnded(task, one.attempt, b"result", None, at_ms))
        else:
            why = Follows.DEAD if end == "dead" else Follows.DONE
            self.commit(AttemptEnded(task, one.attempt, None, FAILURES[0], at_ms, why))

    @rule(task=tasks, node=nodes, result=st.sampled_from([b"x", b"y", b"result"]), at_ms=times)
    def end_it_apart_and_merge(self, task: bytes, node: str, result: bytes, at_ms: int) -> None:
        one = self.model.known.get(task)
        if one is not None:
            self.commit(Entered(task, *one.submission, result, None, node, at_ms))
            one = self.model.known.get(task)
        if one is not None and one.to_merge:
            self.commit(Merged(task, max(one.to_merge), b"merged", at_ms))

    @rule(body=st.binary(max_size=20))
    def commit_bytes_of_another_version(self, body: bytes) -> None:
        body = msgspec.msgpack.encode([99, body])
        self.log.append(body)
        assert self.first.apply(body) == (None, None)
        self.second.apply(body)

    @rule()
    def install_a_snapshot(self) -> None:
        self.second = Machine.from_state(self.first.state(), retention=BOUNDS)

    @invariant()
    def the_machine_is_the_model(self) -> None:
        known = {
            task: replace(one, turn=0, first=None, ran_when_cancelled=False)
            for task, one in self.model.known.items()
        }
        for task, one in known.items():
            if one.state == "succeeded":
                known[task] = replace(one, submission=(*one.submission[:2], b""))
        assert {task: as_known(row) for task, row in self.first.rows.items()} == known
        assert [row.task for row in self.first.live()] == self.model.ordered("queued", "running")
        assert [row.task for row in self.first.dead_letters()] == self.model.ordered("dead")
        assert [row.task for row in self.first.ended()] == self.model.ordered(*FINISHED - {"dead"})
        unmerged = {task for task, one in known.items() if one.to_merge and one.state == "succeeded"}
        for machine in (self.first, self.second):
            assert {row.task for row in machine.unmerged()} == unmerged
        for task, one in self.model.known.items():
            row = self.first.rows[task]
            assert row.is_same(*one.submission)
            effects = [told.effect for told in one.failures] + [Effect.MAYBE] * one.ran_when_cancelled
            strongest = max(effects, key=STRONGER.__getitem__, default="none")
            assert row.effect == strongest

    @invariant()
    def replicas_are_equal_to_the_byte(self) -> None:
        assert self.second.state() == self.first.state()
        assert self.second.rows == self.first.rows
        assert self.second.counts == self.first.counts
        assert self.second.retained_bytes == self.first.retained_bytes

    def teardown(self) -> None:
        again = Machine(retention=BOUNDS)
        for body in self.log:
            again.apply(body)
        assert again.state() == self.first.state()


TestReplicas = Replicas.TestCase
TestReplicas.settings = settings(max_examples=80, stateful_step_count=40, deadline=None)


@settings(max_examples=100, deadline=None)
@given(logs, st.data())
def test_any_snapshot_and_the_rest_of_the_log_give_what_the_whole_log_gives(
    log: list[bytes], data: st.DataObject
) -> None:
    whole = Machine(retention=TIGHT)
    snapshots = [whole.state()]
    for body in log:
        whole.apply(body)
        snapshots.append(whole.state())
    start = data.draw(st.integers(0, len(log)))
    part = Machine.from_state(snapshots[start], retention=TIGHT)
    for index, body in enumerate(log[start:], start + 1):
        part.apply(body)
        assert part.state() == snapshots[index]


@settings(max_examples=100, deadline=None)
@given(logs)
def test_an_outcome_changes_by_a_retry_or_a_merge_alone_and_attempts_only_rise(log: list[bytes]) -> None:
    machine = Machine(retention=Retention(kept_ms=1 << 40))
    outcomes: dict[bytes, tuple[object, ...]] = {}
    attempts: dict[bytes, int] = {}
    for body in log:
        entry, row = machine.apply(body)
        if isinstance(entry, Retried) and row is not None:
            assert outcomes.pop(row.task)[0] != "succeeded"
        if isinstance(entry, Merged) and row is not None:
            assert outcomes.pop(row.task)[0] == "succeeded"
        for task, outcome in outcomes.items():
            kept = machine.rows[task]
            assert outcome == (kept.state, kept.result, kept.failure, kept.attempt, kept.ended_ms)
        if row is not None:
            assert row.attempt - attempts.get(row.task, 0) in (0, 1)
            attempts[row.task] = row.attempt
            if row.state in FINISHED:
                outcomes[row.task] = (row.state, row.result, row.failure, row.attempt, row.ended_ms)


@settings(max_examples=100, deadline=None)
@given(logs)
def test_what_is_kept_stays_within_its_bounds(log: list[bytes]) -> None:
    machine = Machine(retention=TIGHT)
    for body in log:
        machine.apply(body)
        ended, dead = machine.ended(), machine.dead_letters()
        assert len(ended) <= 4
        assert len(dead) <= 2
        for shelf, most_bytes, kept_ms in ((ended, 2_000, 60), (dead, 1_500, 200)):
            assert len(shelf) <= 1 or sum(row.measure() for row in shelf) <= most_bytes
            assert all(machine.clock_ms - row.ended_ms <= kept_ms for row in shelf)
