"""Tasks that this node sees to by itself while their shards are not within reach, and how their shards learn of them.

    taken -> runs, as any task does, over this node's own log -> answered as provisional -> entered -> forgotten

Only tasks of agents with `partition="run"` come here. The log is this node's journal and nothing else: what it took on
survives the process, not the disk. An outcome is offered to the owner of the task's shard until that says that the
shard has it; the shard's log decides whether it was the first.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from msgspec.structs import replace

from hubless.deadlines import earliest
from hubless.effects import Log, NodeEffect, ToPeer
from hubless.placement import shard_of_task
from hubless.shard.private import PRIVATE
from hubless.shard.replicas import Replicas
from hubless.tasks.dispatch import Dispatch
from hubless.tasks.entering import Entering
from hubless.tasks.entries import Dropped, Entry, Submitted, encode_entry
from hubless.tasks.machine import Machine
from hubless.tasks.owner import Owner
from hubless.tasks.retention import Retention
from hubless.tasks.row import TERMINAL, Row, State
from hubless.tasks.shards import TASKS
from hubless.view import View
from hubless.wire import Ended, Enter, Moved, Place, Settled, Taken
from hubless.wire.replication import Entry as LogEntry
from hubless_gossip.marks import sometimes

_MS = 1_000_000
MOST_ROWS = 10_000
MOST_BYTES = 256 * 1024 * 1024
_FOR_EVER = 1 << 62

_UNTIL_ENTERED = Retention(
    kept_ms=_FOR_EVER,
    rows=_FOR_EVER,
    size_bytes=_FOR_EVER,
    dead_kept_ms=_FOR_EVER,
    dead_rows=_FOR_EVER,
    dead_bytes=_FOR_EVER,
)
"""Nothing is forgotten before its shard has it; what is taken on is bounded instead."""


@dataclass(slots=True)
class ApartCounters:
    """`taken` tasks were written down here, `entered` outcomes have reached their shards, `withdrawn` are those that
    nobody wanted any more. `refused` counts tasks that had to go on waiting, as this node's log has no room for them
    or cannot be written to. `offered` counts outcomes told to owners, repetitions included. `held` are the tasks of
    which their shards do not know yet.
    """

    taken: int = 0
    offered: int = 0
    entered: int = 0
    withdrawn: int = 0
    refused: int = 0
    held: int = 0


class OwnLog:
    """This node's own log as its owner sees it (see `TaskLog`). No shard keeps these tasks: their term is 0."""

    def __init__(self, replicas: Replicas) -> None:
        self._replicas = replicas
        self.machine = Machine(retention=_UNTIL_ENTERED)
        self.is_open = False

    def row(self, task: bytes) -> Row | None:
        """What was decided about a task so far."""
        return self.machine.rows.get(task)

    def may_have_forgotten(self, task: bytes, since_ms: int) -> bool:  # noqa: ARG002 - the same for all
        return False

    def term(self, task: bytes) -> int:  # noqa: ARG002 - the same for all
        return 0

    def propose(self, now_ns: int, task: bytes, entry: Entry) -> bool:  # noqa: ARG002 - as the protocol has it
        return self.is_open and self._replicas.propose(now_ns, PRIVATE, encode_entry(entry))


class Apart:
    """What this node took on by itself.

    Args:
        epoch_ns: what turns this node's clock into unix time, in ns.
    """

    def __init__(self, *, me: str, view: View, replicas: Replicas, dispatch: Dispatch, epoch_ns: int) -> None:
        self._me = me
        self._view = view
        self._replicas = replicas
        self._epoch_ns = epoch_ns
        self._log = OwnLog(replicas)
        self._owner = Owner(me=me, view=view, log=self._log, dispatch=dispatch, epoch_ns=epoch_ns)
        self._entering = Entering()
        self._turns = 0
        self.counters = ApartCounters()

    def __len__(self) -> int:
        """Tasks of which their shards do not know yet."""
        return len(self._log.machine.rows)

    def knows(self, task: bytes) -> bool:
        """Whether this node has taken on the task, and its shard does not have the outcome yet."""
        return self._owner.knows(task)

    def takes(self, now_ns: int) -> bool:
        """Whether one more task can be taken on. The first time it cannot: the log is begun for it."""
        if not self._log.is_open:
            self._replicas.found_private(now_ns)
        machine = self._log.machine
        has_room = len(machine.rows) < MOST_ROWS and machine.size_bytes < MOST_BYTES
        is_well = self._log.is_open and has_room and not self._replicas.is_full
        if not is_well:
            sometimes("could not take on a task apart from its shard just now")
        self.counters.refused += not is_well
        return is_well

    # -- roles --------------------------------------------------------------------------------------------

    def place(self, now_ns: int, place: Place, out: list[NodeEffect]) -> None:
        """Takes on a task, or recognises it."""
        own: list[NodeEffect] = []
        self._owner.place(now_ns, place, own)
        self._say(own, out)

    def withdraw(self, now_ns: int, task: bytes, out: list[NodeEffect]) -> None:
        """The gateway's client no longer wants the task."""
        self._owner.withdraw(now_ns, self._me, task, out)

    def ended(self, now_ns: int, executor: str, ended: Ended, out: list[NodeEffect]) -> None:
        """An attempt has an outcome."""
        self._owner.ended(now_ns, executor, ended, out)

    def peer_gone(self, now_ns: int, node: str, out: list[NodeEffect]) -> None:
        """What ran on a dead node goes to others."""
        self._owner.peer_gone(now_ns, node, out)

    def peer_silent(self, now_ns: int, node: str, out: list[NodeEffect]) -> None:
        """What ran on a suspected node goes to others, if it may."""
        self._owner.peer_silent(now_ns, node, out)

    def view_changed(self, now_ns: int, out: list[NodeEffect]) -> None:
        """What found no executor is tried again."""
        self._owner.view_changed(now_ns, out)

    # -- the log ------------------------------------------------------------------------------------------

    def committed(self, now_ns: int, entries: Iterable[LogEntry], out: list[NodeEffect]) -> None:
        """What this node has on disk."""
        own: list[NodeEffect] = []
        for logged in entries:
            if logged.kind != TASKS:
                continue
            entry, row = self._log.machine.apply(logged.body)
            if entry is None or row is None or not self._log.is_open:
                continue
            if isinstance(entry, Dropped):
                self._entering.drop(now_ns, entry.task)
                self.counters.held = len(self)
                continue
            self.counters.taken += isinstance(entry, Submitted)
            self.counters.held = len(self)
            self._owner.decided(now_ns, entry, row, own)
            self._look(now_ns, row)
        self._say(own, out)

    def restored(self, state: bytes) -> None:
        """Starts from a snapshot. Raises ValueError for one that this version cannot read."""
        self._log.machine = Machine.from_state(state, retention=_UNTIL_ENTERED)

    def opened(self, now_ns: int, out: list[NodeEffect]) -> None:
        """The log can be written to: what an earlier process has left goes on."""
        self._log.is_open = True
        machine = self._log.machine
        self.counters.held = len(self)
        if machine.rows:
            sometimes("a process went on with what an earlier one had taken on apart")
            text = (
                f"{len(machine.rows)} tasks that this node took on apart from their shards are to be entered"
            )
            out.append(Log("info", text))
        for row in (*machine.ended(), *machine.dead_letters()):
            self._look(now_ns, row)
        self._owner.took_over(now_ns, machine.live(), out)

    def closed(self, now_ns: int, out: list[NodeEffect]) -> None:
        """The log cannot be written to any more."""
        self._log.is_open = False
        self._entering.clear()
        for shard in sorted({shard_of_task(row.task) for row in self._log.machine.live()}):
            self._owner.gave_up(now_ns, shard, out)

    def compact(self) -> None:
        """Gives the log a state to start from, once it has grown too long."""
        if PRIVATE in self._replicas.wants_compaction():
            self._replicas.compact(PRIVATE, self._log.machine.state())

    # -- entering -----------------------------------------------------------------------------------------

    def entered(self, now_ns: int, task: bytes) -> None:
        """The task's shard has the outcome: it need not be kept here any more."""
        if task in self._entering:
            sometimes("a shard has the outcome of a node that went on apart")
            self._drop(now_ns, task)
            self.counters.entered += 1

    def moved(self, node: str, moved: Moved) -> None:
        """The node that an outcome was offered to does not own the shard."""
        if moved.task in self._entering:
            sometimes("offered a provisional outcome to who does not own its shard")
            shard = shard_of_task(moved.task)
            self._view.doubt_owner(shard, node)
            self._view.learn_owner(shard, moved.term, moved.owner)

    def tick(self, now_ns: int, out: list[NodeEffect]) -> None:
        """Does what is due, and offers outcomes to the shards that have an owner again."""
        own: list[NodeEffect] = []
        self._owner.tick(now_ns, own)
        self._say(own, out)
        for owner, task in self._entering.due(now_ns, self._whom):
            row = self._log.row(task)
            if row is not None:
                self.counters.offered += 1
                out.append(ToPeer(owner, _offer(row)))

    def next_deadline_ns(self) -> int | None:
        return earliest(self._owner.next_deadline_ns(), self._entering.next_deadline_ns())

    # -- inside -------------------------------------------------------------------------------------------

    def _whom(self, shard: int) -> str | None:
        """The owner of a shard; while none is known a replica, one after the other, as that knows who it is."""
        owner = self._view.owner_of_shard(shard)
        if owner is not None:
            return owner
        others = [
            node for node in self._view.preference(shard) if node != self._me and self._view.is_alive(node)
        ]
        self._turns += 1
        return others[self._turns % len(others)] if others else None

    def _look(self, now_ns: int, row: Row) -> None:
        """What has ended is entered, unless nobody wanted it any more."""
        if row.state is State.CANCELLED:
            self.counters.withdrawn += self._drop(now_ns, row.task)
        elif row.state in TERMINAL:
            self._entering.add(now_ns, row.task)

    def _drop(self, now_ns: int, task: bytes) -> bool:
        return self._log.propose(now_ns, task, Dropped(task, (now_ns + self._epoch_ns) // _MS))

    def _say(self, own: list[NodeEffect], out: list[NodeEffect]) -> None:
        """Passes on what the owner says. What it tells this node's gateway is provisional."""
        for effect in own:
            match effect:
                case ToPeer(node=self._me, message=Taken() as message):
                    out.append(ToPeer(self._me, replace(message, provisional=True)))
                case ToPeer(node=self._me, message=Settled() as message) if self._log.row(message.task):
                    out.append(ToPeer(self._me, replace(message, provisional=True)))
                case _:
                    out.append(effect)


def _offer(row: Row) -> Enter:
    """The outcome of a row, for its shard."""
    if row.state is State.SUCCEEDED:
        result = row.result or b""
        return Enter(row.task, row.agent, row.key, b"", row.digest, result, None, row.submitted_ms)
    return Enter(row.task, row.agent, row.key, row.payload, 0, None, row.failure, row.submitted_ms)
