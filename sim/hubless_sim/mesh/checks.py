"""What must hold of whole nodes and their tasks at the end of a run, whatever broke in it.

Of tasks that their shards keep: one outcome for each id, whoever is asked and however often; none that a client has a
receipt for is lost; an attempt runs in one process at most; histories are linearizable. Of the shards: one owner each,
and replicas that have read the same log hold the same rows. Nothing is left behind in any node.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import msgspec

from hubless.placement import shard_of_task
from hubless.shard.configs import CONFIG, decode
from hubless.shard.records import Recovered
from hubless.tasks.machine import Machine
from hubless.tasks.row import TERMINAL, Row, State
from hubless.wire import Told
from hubless.wire.replication import Config
from hubless_agents import MERGE
from hubless_sim import checkers
from hubless_sim.checkers.keys import Kept, scattered
from hubless_sim.mesh.notes import Answered
from hubless_sim.mesh.observed import Observed
from hubless_sim.names import place_of
from hubless_sim.shards.audit import has_majority
from hubless_sim.tapes.operations import Call
from hubless_sim.tapes.script import Signed, answer_of
from hubless_sim.verdict import Violation, breaches

_WORDS = {"dead": "failed"}
"""A client that is told a failure does not hear whether the task is on the list of dead letters."""

_WORDS_APART = {**_WORDS, "expired": "failed"}
"""Nor does who looks at a task which a node has seen to by itself hear whether its time was over there."""


class _State(msgspec.Struct):
    state: str


def violations(run: Observed) -> list[Violation]:
    """Everything that must hold after the calm and does not, of agents by script."""
    lost = lost_shards(run)
    found = {
        "answered": () if lost else _unanswered(run),
        "calm calls succeed": () if lost else _late(run),
        "right answers": _wrong_answers(run),
        "right results": _wrong_results(run),
    }
    return [*of_any_agents(run), *_breaches(found)]


def of_any_agents(run: Observed) -> list[Violation]:
    """What must hold after the calm and does not, whatever the agents do."""
    lost = lost_shards(run)
    found = {
        "one owner": _unowned(run, lost),
        "equal replicas": _unlike_replicas(run),
        "nothing left behind": () if lost else _left_behind(run),
        "nothing lost": _lost(run, lost),
        "attempts": _starts(run),
        "linearizable": _impossible(run),
    }
    return [*_breaches(found), *scattered(_kept(run))]


def _breaches(found: Mapping[str, Iterable[str]]) -> list[Violation]:
    return [violation for checker, texts in found.items() for violation in breaches(checker, texts)]


def figures(run: Observed) -> dict[str, Any]:
    """How the calls ended, by code ("" for a success), how many attempts began, what was merged, and what is lost."""
    codes = sorted(answer.code for _, answer in run.answers.values())
    return {
        "answers": {code: codes.count(code) for code in dict.fromkeys(codes)},
        "unanswered": len(run.calls) - len(run.answers),
        "attempts": sum(len(starts) for starts in run.starts.values()),
        "receipts": len(run.receipts),
        "merged": sum(row.merged > 0 for row in rows_of(run).values()),
        "lost_shards": sorted(lost_shards(run)),
    }


def is_kept(run: Observed, call: Call) -> bool:
    """Whether a shard keeps the task of a call."""
    return any(agent.name == call.agent and agent.durability == "replicated" for agent in run.system.agents)


def _runs_apart(run: Observed, call: Call) -> bool:
    """Whether a node may come to an outcome of its own, which then is the shard's."""
    return any(agent.name == call.agent and agent.partition == "run" for agent in run.system.agents)


def in_core(run: Observed, names: Iterable[str]) -> list[str]:
    """Those of the nodes that must live in the end."""
    core = run.system.core
    return [name for name in names if not core or name in core]


def owners_that_count(run: Observed, names: Sequence[str]) -> list[str]:
    """Those who own a shard among the nodes that say so: who is outside of the core counts if nobody in it does.

    He may have lost his followers without knowing it. If he has not, calls through the core find him.
    """
    return in_core(run, names) or list(names)


def rows_of(run: Observed) -> dict[bytes, Row]:
    """All tasks as their owners know them at the end."""
    rows: dict[bytes, Row] = {}
    for shard, owners in run.owners().items():
        names = owners_that_count(run, owners)
        for name in names:
            machine = run.machine(name, shard)
            rows.update({} if machine is None else machine.rows)
    return rows


def _kept(run: Observed) -> Iterator[Kept]:
    """Where owners keep the tasks of clients; those that merge two results are keyed by the task of these."""
    for shard, owners in run.owners().items():
        for name in owners_that_count(run, owners):
            machine = run.machine(name, shard)
            for row in [] if machine is None else machine.rows.values():
                yield Kept(row.task, "" if row.agent.endswith(MERGE) else row.key, shard)


def lost_shards(run: Observed) -> set[int]:
    """Shards that nobody can bring back: the disks of a majority of their voters are gone for good, or not in the core.

    Their voters are those of the latest configuration in the most up to date of the logs that are left: who has that
    log can neither be elected without them nor be outvoted.
    """
    best: dict[int, tuple[tuple[int, int], Config]] = {}
    sound: dict[int, set[str]] = {}
    for node, journal in run.journals():
        if run.system.core and not in_core(run, [f"n{place_of(node)}"]):
            continue
        for each in journal:
            if each.damage or each.shard >= run.system.shards:
                continue
            sound.setdefault(each.shard, set()).add(node)
            log = _end_of(each)
            if log is not None and (each.shard not in best or best[each.shard][0] < log[0]):
                best[each.shard] = log
    return {
        shard
        for shard in range(run.system.shards)
        if shard not in best or not has_majority(best[shard][1], sound[shard])
    }


def _end_of(found: Recovered) -> tuple[tuple[int, int], Config] | None:
    """Term and index of the last entry on a disk, and the latest configuration; None if it has none."""
    snapshot, entries = found.snapshot, found.entries
    known = [config for entry in entries if entry.kind == CONFIG and (config := decode(entry.body))]
    config = known[-1] if known else None if snapshot is None else snapshot.config
    if config is None:
        return None
    if entries:
        return (entries[-1].term, entries[-1].index), config
    return (0, 0) if snapshot is None else (snapshot.term, snapshot.index), config


def _unowned(run: Observed, lost: set[int]) -> Iterator[str]:
    for shard, names in run.unowned.items():
        if shard not in lost:
            yield f"shard {shard} had not one owner after {run.system.owned_ms} ms, but {list(names)}"
    for shard, owners in run.owners().items():
        names = owners_that_count(run, owners)
        if len(names) != 1 and shard not in lost:
            yield f"shard {shard} has not one owner at the end, but {names}"


def _unlike_replicas(run: Observed) -> Iterator[str]:
    for shard in range(run.system.shards):
        machines: dict[int, tuple[str, Machine]] = {}
        for name in run.running():
            machine = run.machine(name, shard)
            if machine is None:
                continue
            other, known = machines.setdefault(machine.applied, (name, machine))
            if machine.state() != known.state():
                yield f"{name} and {other} hold shard {shard} differently after {machine.applied} entries"


def _unanswered(run: Observed) -> Iterator[str]:
    """Who is patient enough to see the calm is answered."""
    for number, call in enumerate(run.calls):
        is_early = call.at_ms + call.deadline_ms < (run.system.owned_ms or 0)
        if number not in run.answers and call.cancel_after_ms is None and not is_early:
            yield f"call {number} of {call.agent} was never answered"


def _answers(run: Observed) -> list[tuple[int, Answered]]:
    return sorted([*run.answers.values(), *run.repeats], key=lambda each: each[0])


def _late(run: Observed) -> Iterator[str]:
    """Calls that are made in the calm, and have a sound script, succeed."""
    for number, call in enumerate(run.calls):
        if call.at_ms >= (run.system.owned_ms or 0) and not call.script.does and number in run.answers:
            answer = run.answers[number][1]
            if answer.code or answer.provisional:
                yield f"call {number} was made in the calm and failed with {answer.code}"


def _wrong_answers(run: Observed) -> Iterator[str]:
    """An answer is the one that the call's script has, and tells of no effect truly."""
    for at_ns, answer in _answers(run):
        call = run.calls[answer.call]
        if (answer.task, answer.attempt, answer.payload) in run.misled:
            continue  # the agent's own
        if answer.code == "":
            reply = _reply(answer.payload)
            if reply is None or (reply.n, reply.out) != (call.script.n, answer_of(call.script.n)):
                yield f"the answer {answer.payload!r} to call {answer.call} is not that of {call.script.n}"
            elif reply.attempt != answer.attempt and is_kept(run, call) and not _runs_apart(run, call):
                yield f"attempt {answer.attempt} of call {answer.call} has the result of attempt {reply.attempt}"
        elif answer.effect.value == "none" and answer.is_decided and is_kept(run, call):
            # A gateway that speaks for itself does not know that its client has asked another one meanwhile.
            began = [start for start in run.starts.get(answer.task, ()) if start.at_ns < at_ns]
            if began:
                yield f"call {answer.call}: {answer.code} is said to have had no effect, and it ran: {began}"


def _wrong_results(run: Observed) -> Iterator[str]:
    """A result that a shard keeps is that of its task's last attempt, whether anybody was told of it or not."""
    for task, row in rows_of(run).items():
        calls = [run.calls[call] for _, call in run.handed.get(task, ())]
        if row.state is not State.SUCCEEDED or not calls or _runs_apart(run, calls[0]):
            continue
        reply, n = _reply(row.result or b""), calls[0].script.n
        if (task, row.attempt, row.result) in run.misled:
            continue
        if reply is None or reply != Signed(n, answer_of(n), row.attempt):
            yield f"task {task.hex()} of {n} has the result {row.result!r} of its attempt {row.attempt}"


def _reply(payload: bytes) -> Signed | None:
    try:
        return msgspec.json.decode(payload, type=Signed)
    except msgspec.DecodeError:
        return None


def _retried(run: Observed) -> set[bytes]:
    """Tasks that an operator may have queued again."""
    return {task for query, (_, task) in run.queried.items() if run.queries[query].what == "retry"}


def _lost(run: Observed, lost: set[int]) -> Iterator[str]:
    """Who has a receipt has a task; and what a client was told is what the shard still says."""
    rows = rows_of(run)
    for task in run.receipts:
        if (
            task not in rows
            and shard_of_task(task) not in lost
            and is_kept(run, run.calls[run.handed[task][0][1]])
        ):
            yield f"task {task.hex()} was accepted, and nobody knows of it"
    retried = _retried(run)
    for _, answer in _answers(run):
        call, row = run.calls[answer.call], rows.get(answer.task)
        if not answer.is_decided or shard_of_task(answer.task) in lost or not is_kept(run, call):
            continue
        if row is None:
            yield f"the outcome of call {answer.call} ({answer.code or 'succeeded'}) is kept by nobody"
        elif row.state not in TERMINAL:
            if answer.task not in retried:
                yield f"call {answer.call} was answered ({answer.code or 'succeeded'}), and is {row.state.value}"
        elif answer.code == "" and (
            row.state is not State.SUCCEEDED or (row.result != answer.payload and not row.merged)
        ):
            yield f"call {answer.call} has succeeded, and is {row.state.value} with {row.result!r}"
        elif answer.code and row.state is State.SUCCEEDED and answer.task not in retried:
            yield f"call {answer.call} has failed with {answer.code}, and is succeeded"


def _starts(run: Observed) -> Iterator[str]:
    """An attempt runs in one process, in which attempts follow one another; some agents have but one."""
    rows = rows_of(run)
    retried = _retried(run)
    for task, starts in run.starts.items():
        calls = [run.calls[call] for _, call in run.handed.get(task, ())]
        if not calls or not is_kept(run, calls[0]):
            continue
        agent = next(agent for agent in run.system.agents if agent.name == calls[0].agent)
        if agent.partition == "run":
            continue  # both sides of a cut may have begun
        if agent.retries == 0 and len(starts) > 1 and task not in retried:
            yield f"task {task.hex()} of {agent.name} must start once at most: {starts}"
        places: dict[int, tuple[str, int]] = {}
        last: dict[tuple[str, int], int] = {}
        for start in starts:
            place = (start.node, start.boot)
            if places.setdefault(start.attempt, place) != place:
                yield f"attempt {start.attempt} of task {task.hex()} ran in two processes: {starts}"
            if start.attempt < last.get(place, 0):
                yield f"task {task.hex()} began attempt {start.attempt} after a later one in one process: {starts}"
            last[place] = max(start.attempt, last.get(place, 0))
        row = rows.get(task)
        if row is not None and row.attempt < max(places):
            yield f"task {task.hex()} has had {row.attempt} attempts by its log, and more began: {starts}"


def _left_behind(run: Observed) -> Iterator[str]:
    all_under_way = run.unfinished()
    under_way = {name: all_under_way[name] for name in in_core(run, all_under_way)}
    for name, unfinished in under_way.items():
        yield f"{name} has not let go: {unfinished}"
    if not under_way:
        for task, row in rows_of(run).items():
            if row.state not in TERMINAL:
                yield f"task {task.hex()} is {row.state.value} in its shard, and nobody sees to it"


# Histories


def history(run: Observed) -> list[checkers.Operation]:
    """What clients did with the tasks that shards keep, and what they were told."""
    retried = _retried(run)
    done: list[checkers.Operation] = []
    first: dict[bytes, int] = {}
    for task, handed in run.handed.items():
        if task in retried or not is_kept(run, run.calls[handed[0][1]]):
            continue
        first[task] = at_ns = handed[0][0]
        accepted_ns = run.receipts.get(task)
        output = checkers.UNKNOWN if accepted_ns is None else None
        done.append(checkers.Operation(at_ns, accepted_ns, checkers.Submit(task), output))
        cancels = [run.calls[call] for _, call in handed if run.calls[call].cancel_after_ms is not None]
        done += (checkers.Operation(call.at_ms * 1_000_000, None, checkers.Cancel(task)) for call in cancels)
    for at_ns, answer in _answers(run):
        if answer.task in first and answer.is_decided:
            outcome = checkers.Outcome(answer.task)
            runs_apart = _runs_apart(run, run.calls[answer.call])
            result = _result(answer, runs_apart=runs_apart)
            done.append(checkers.Operation(first[answer.task], at_ns, outcome, result))
    done += _queries(run, first)
    return done


def _result(answer: Answered, *, runs_apart: bool) -> checkers.Result:
    """What came of a task; that it has expired on a node by itself is a failure for its shard."""
    if answer.code == "":
        return checkers.Result("succeeded", answer.payload)
    ends = ("cancelled",) if runs_apart else ("cancelled", "expired")
    is_owners_word = answer.where.startswith("owner") and answer.code in ends
    return checkers.Result(answer.code if is_owners_word else "failed")


def _queries(run: Observed, first: dict[bytes, int]) -> Iterator[checkers.Operation]:
    for number, (at_ns, task) in run.queried.items():
        what = run.queries[number].what
        if task not in first or what not in ("cancel", "status"):
            continue
        replied = run.replies.get(number)
        runs_apart = _runs_apart(run, run.calls[run.queries[number].call])
        told = None if replied is None else _told(what, replied[1], runs_apart=runs_apart)
        if replied is not None and told is not None:
            asked = checkers.Cancel(task) if what == "cancel" else checkers.Status(task)
            yield checkers.Operation(at_ns, replied[0], asked, told)
        elif what == "cancel" and not (
            replied and replied[1].failure and replied[1].failure.code == "refused"
        ):
            yield checkers.Operation(at_ns, None, checkers.Cancel(task))


def _told(what: str, told: Told, *, runs_apart: bool) -> object:
    """The output of a query; None if it was left unanswered, or answered with doubt."""
    if told.failure is None:
        state = msgspec.json.decode(told.body, type=_State).state
        words = _WORDS_APART if runs_apart else _WORDS
        return state == "cancelled" if what == "cancel" else words.get(state, state)
    if told.failure.code == "refused" and what == "status":
        return "unknown"
    return None  # a cancellation is refused for any end of the task, another cancellation too


def _impossible(run: Observed) -> Iterator[str]:
    verdict = checkers.check(history(run), checkers.TaskSpec())
    if verdict.is_linearizable is not True:
        part = verdict.part.hex() if isinstance(verdict.part, bytes) else verdict.part
        placed = [(each.input, each.output) for each in verdict.linearization][-6:]
        yield f"the history of task {part} is not linearizable: after {placed} not {verdict.culprit}"
