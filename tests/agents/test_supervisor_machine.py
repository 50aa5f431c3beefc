"""Any order of events: the supervisor against a dumb model of tasks and of the processes that run them."""

import random

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from hubless_agents import (
    Assignment,
    Contract,
    DeadlineReached,
    Effect,
    GiveTask,
    KillWorker,
    MeasureMemory,
    MemoryMeasured,
    Offered,
    RecallTask,
    Report,
    SpawnWorker,
    Supervisor,
    SupervisorConfig,
    Withdrawn,
    WorkerAnswered,
    WorkerExited,
    WorkerMisbehaved,
    WorkerReady,
)
from hubless_agents.contract import OnBreach

MS = 1_000_000
CONTRACTS = (
    Contract(name="plain", deadline_ms=400),
    Contract(name="wide", deadline_ms=900, concurrency=3, runtime="asyncio"),
    Contract(
        name="strict",
        output_schema=b'{"type":"integer"}',
        on_breach=OnBreach(schema="retry", raised="kill"),
        retries=1,
        memory_bytes=64 << 20,
        on_cancel="kill",
    ),
)
LIMITS = {contract.name: contract.concurrency for contract in CONTRACTS}
CONFIG = SupervisorConfig(
    workers=2,
    spares=1,
    queue_per_agent=4,
    prefetch_max=3,
    max_kills=3,
    quarantine_base_ms=500,
    start_timeout_s=5,
)


def running(line):
    """The rule of the lane, as stated in words: one agent's tasks at the front, up to its limit."""
    front = []
    for give in line:
        if give.assignment.agent != line[0].assignment.agent or len(front) == LIMITS[give.assignment.agent]:
            break
        front.append(give)
    return front


class Process:
    """A worker as a list: tasks in the order of their arrival; the front of it runs.

    Answers that it has `written` are on their way: the supervisor still believes these tasks in its `view`.
    """

    def __init__(self, number):
        self.number = number
        self.ready = False
        self.killed = False
        self.line: list[GiveTask] = []
        self.view: list[GiveTask] = []
        self.written: list[WorkerAnswered] = []
        self.recalled: set[int] = set()

    def write(self, give, kind, *fields):
        self.line.remove(give)
        self.written.append(WorkerAnswered(self.number, give.give, kind, *fields))


class SupervisorMachine(RuleBasedStateMachine):
    def __init__(self):
        super().__init__()
        self.now_ns = 0
        self.core = Supervisor(config=CONFIG, node="n", rng=random.Random(7), now_ns=0)
        self.processes: dict[int, Process] = {}
        self.offered: set[tuple[bytes, int]] = set()
        self.ended: dict[tuple[bytes, int], object] = {}
        self.started: set[tuple[bytes, int]] = set()
        self.measured: set[int] = set()
        self.count = 0

    # ---- the model of the shell -----------------------------------------------------------------------

    def handle(self, event):
        for effect in self.core.handle(self.now_ns, event):
            match effect:
                case SpawnWorker(number):
                    assert number not in self.processes
                    self.processes[number] = Process(number)
                case GiveTask(number, _, assignment):
                    self.given(effect, self.processes[number], assignment)
                case KillWorker(number):
                    assert not self.processes[number].killed, "killed twice"
                    self.processes[number].killed = True
                case RecallTask(number, give):
                    if number in self.processes:
                        self.processes[number].recalled.add(give)
                case MeasureMemory(number):
                    self.measured.add(number)
                case Report(outcome):
                    self.reported(outcome)
                case _:
                    pass
        self.note_starts()

    def note_starts(self):
        for process in self.processes.values():
            self.started |= {
                (give.assignment.task, give.assignment.attempt) for give in running(process.line)
            }

    def given(self, effect, process, assignment):
        assert process.ready
        assert not process.killed
        key = (assignment.task, assignment.attempt)
        assert key in self.offered
        assert key not in self.ended, "given after its end"
        for other in self.processes.values():
            assert all((g.assignment.task, g.assignment.attempt) != key for g in other.view), "given twice"
        process.line.append(effect)
        process.view.append(effect)
        # Beyond the running ones never more than the prefetch limit.
        assert len(process.view) - len(running(process.view)) <= CONFIG.prefetch_max

    def reported(self, outcome):
        key = (outcome.task, outcome.attempt)
        assert key in self.offered
        assert key not in self.ended, "ended twice"
        self.ended[key] = outcome
        failure = getattr(outcome, "failure", None)
        if failure is not None and failure.effect is Effect.NONE:
            assert key not in self.started, f"it had started, but {failure} denies any effect"

    def having(self, condition):
        return sorted((p for p in self.processes.values() if condition(p)), key=lambda p: p.number)

    # ---- rules: what may happen -----------------------------------------------------------------------

    @initialize(
        processes=st.integers(0, CONFIG.workers + CONFIG.spares),
        warm=st.sets(st.sampled_from(sorted(LIMITS))),
    )
    def some_are_ready(self, processes, warm):
        self.pass_time(0)
        for _ in range(processes):
            for process in self.having(lambda p: not p.ready)[:1]:
                process.ready = True
                self.handle(WorkerReady(process.number, process.number, CONTRACTS))
        for agent in sorted(warm) if processes else ():
            self.offer(agent, 5_000, 0)  # quick answers: from now on tasks are prefetched
            (process,) = self.having(lambda p: p.line)
            process.write(process.line[0], "returned", b"1", "", "", 1_000)
            self.deliver_from(process, 1)

    @rule(
        agent=st.sampled_from(sorted(LIMITS)),
        wait_ms=st.sampled_from([0, 50, 600, 5_000]),
        again=st.integers(0, 12),
    )
    def offer_one(self, agent, wait_ms, again):
        self.offer(agent, wait_ms, again)

    def offer(self, agent, wait_ms, again):
        if again and again <= self.count:
            task, attempt = again.to_bytes(16, "big"), 2  # a further attempt of an earlier task
        else:
            self.count += 1
            task, attempt = self.count.to_bytes(16, "big"), 1
        queued = self.core.load().get(agent)
        known = (task, attempt) in self.offered
        if known and (task, attempt) in self.ended:
            return  # a driver does not offer an attempt again that has ended
        self.offered.add((task, attempt))
        before = len(self.ended)
        self.handle(Offered(Assignment(task, attempt, agent, b"1", self.now_ns + wait_ms * MS)))
        if queued is not None and queued.queued >= CONFIG.queue_per_agent and not known:
            assert len(self.ended) > before, "taken although the queue was full"

    @rule(ms=st.sampled_from([0, 1, 6, 60, 450, 2_500]))
    def pass_time(self, ms):
        ends_ns = self.now_ns + ms * MS
        while (due_ns := self.core.next_deadline_ns()) is not None and due_ns <= ends_ns:
            self.now_ns = max(self.now_ns, due_ns)
            self.handle(DeadlineReached())
        self.now_ns = ends_ns

    @precondition(lambda self: self.having(lambda p: not p.ready and not p.killed))
    @rule(data=st.data(), works=st.booleans())
    def start(self, data, works):
        process = data.draw(st.sampled_from(self.having(lambda p: not p.ready and not p.killed)))
        if works:
            process.ready = True
            self.handle(WorkerReady(process.number, process.number, CONTRACTS))
        else:
            self.end(process, "import_error")

    @precondition(lambda self: self.having(lambda p: p.line))
    @rule(
        data=st.data(),
        kind=st.sampled_from(["returned", "returned", "returned", "raised", "bad_output", "out_of_memory"]),
        fits=st.booleans(),
        took_ns=st.sampled_from([5_000, 300_000, 50 * MS]),
    )
    def answer(self, data, kind, fits, took_ns):
        process = data.draw(st.sampled_from(self.having(lambda p: p.line)))
        give = data.draw(st.sampled_from(running(process.line)))
        process.write(give, kind, b"1" if fits else b'"no integer"', "why", "", took_ns)
        self.note_starts()

    @precondition(lambda self: self.having(lambda p: p.recalled))
    @rule(data=st.data())
    def drop(self, data):
        process = data.draw(st.sampled_from(self.having(lambda p: p.recalled)))
        number = data.draw(st.sampled_from(sorted(process.recalled)))
        process.recalled.discard(number)
        for give in process.line[len(running(process.line)) :]:
            if give.give == number:
                process.write(give, "dropped")
                self.note_starts()

    @precondition(lambda self: self.having(lambda p: p.written))
    @rule(data=st.data(), all_of_them=st.booleans())
    def deliver(self, data, all_of_them):
        process = data.draw(st.sampled_from(self.having(lambda p: p.written)))
        self.deliver_from(process, len(process.written) if all_of_them else 1)

    def deliver_from(self, process, count):
        for _ in range(count):
            answer = process.written.pop(0)
            process.view = [give for give in process.view if give.give != answer.give]
            self.handle(answer)

    @precondition(lambda self: self.having(lambda p: p.killed))
    @rule(data=st.data())
    def killed_one_is_gone(self, data):
        self.end(data.draw(st.sampled_from(self.having(lambda p: p.killed))), "exited")

    @precondition(lambda self: self.having(lambda p: p.ready and not p.killed))
    @rule(data=st.data())
    def crash(self, data):
        self.end(data.draw(st.sampled_from(self.having(lambda p: p.ready and not p.killed))), "exited")

    @precondition(lambda self: self.having(lambda p: p.ready))
    @rule(data=st.data())
    def junk(self, data):
        process = data.draw(st.sampled_from(self.having(lambda p: p.ready)))
        self.handle(WorkerMisbehaved(process.number, "junk"))

    @precondition(lambda self: self.measured)
    @rule(data=st.data(), resident=st.sampled_from([None, 1 << 20, 100 << 20]))
    def measure(self, data, resident):
        number = data.draw(st.sampled_from(sorted(self.measured)))
        self.measured.discard(number)
        self.handle(MemoryMeasured(number, resident))

    @precondition(lambda self: self.count)
    @rule(data=st.data())
    def withdraw(self, data):
        self.handle(Withdrawn(data.draw(st.integers(1, self.count)).to_bytes(16, "big")))

    def end(self, process, reason):
        self.deliver_from(process, len(process.written))
        del self.processes[process.number]
        self.handle(WorkerExited(process.number, reason, "gone"))

    # ---- what always holds ----------------------------------------------------------------------------

    @invariant()
    def no_more_processes_than_configured(self):
        alive = self.having(lambda p: not p.killed)
        assert len(alive) <= CONFIG.workers + CONFIG.spares

    @invariant()
    def load_agrees_with_the_processes(self):
        for name, load in self.core.load().items():
            given = sum(g.assignment.agent == name for p in self.processes.values() for g in p.view)
            if not self.having(lambda p: p.killed):  # those may have been written off already
                assert load.running == given

    def teardown(self):
        """Calm: everything that was offered has ended once, and the crew is complete again."""
        for _ in range(60):
            for process in self.having(lambda p: p.killed):
                self.end(process, "exited")
            for process in self.having(lambda p: not p.ready):
                process.ready = True
                self.handle(WorkerReady(process.number, process.number, CONTRACTS))
            for process in self.having(lambda p: p.line and not p.killed):
                process.write(running(process.line)[0], "returned", b"1")
                self.deliver_from(process, len(process.written))
            self.pass_time(1_000)
        assert set(self.ended) == self.offered
        ready = self.having(lambda p: p.ready and not p.killed)
        assert len(ready) == CONFIG.workers + CONFIG.spares


SupervisorMachine.TestCase.settings = settings(max_examples=120, stateful_step_count=60, deadline=None)
TestSupervisorMachine = SupervisorMachine.TestCase
