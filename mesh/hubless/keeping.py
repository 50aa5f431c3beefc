"""What this node keeps for the mesh: its replicas, the tasks in them, and the owner of those that it leads."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

import msgspec

from hubless.deadlines import earliest
from hubless.effects import Log, NodeEffect, ToPeer
from hubless.placement import shard_of_task, take_hop
from hubless.shard.events import (
    Commit,
    Committed,
    Disowned,
    Flushed,
    Forgotten,
    JournalEvent,
    JournalFailed,
    JournalFull,
    JournalHasRoom,
    Owning,
    ReadReady,
    Restored,
    ShardEffect,
)
from hubless.shard.fork import forks_of, lineage_of
from hubless.shard.private import PRIVATE
from hubless.shard.replicas import Replicas
from hubless.succession import Succession
from hubless.tasks.apart import Apart
from hubless.tasks.dispatch import Dispatch
from hubless.tasks.entries import Entered, Forked
from hubless.tasks.machine import Machine
from hubless.tasks.owner import Owner
from hubless.tasks.row import Row
from hubless.tasks.shards import Change, ShardTasks
from hubless.view import View
from hubless.wire import Enter, EnterDone, Moved, OwnedBy, Place, Settled
from hubless.wire.replication import ShardMessage
from hubless_agents import Failure
from hubless_gossip.marks import sometimes

_MS = 1_000_000
_RETRY_AFTER_MS = 1_000


class Keeping:
    """The replicas of one node and everything that rests on them.

    Args:
        epoch_ns: what turns this node's clock into unix time, in ns.
    """

    def __init__(self, *, me: str, view: View, replicas: Replicas, dispatch: Dispatch, epoch_ns: int) -> None:
        self._me = me
        self._view = view
        self._replicas = replicas
        self._epoch_ns = epoch_ns
        self._tasks = ShardTasks(replicas)
        self._succession = Succession(me=me, view=view)
        self._forked_by: dict[int, str] = {}
        self._tickets = 0
        self.on_changed: Callable[[Row, list[NodeEffect]], None] | None = None
        self.on_disowned: Callable[[int, list[NodeEffect]], None] | None = None
        self.on_forked: Callable[[int, list[NodeEffect]], None] | None = None
        self.on_read: Callable[[int, bool, list[NodeEffect]], None] | None = None
        self.owner = Owner(me=me, view=view, log=self._tasks, dispatch=dispatch, epoch_ns=epoch_ns)
        self.apart = Apart(me=me, view=view, replicas=replicas, dispatch=dispatch, epoch_ns=epoch_ns)

    def start(self, now_ns: int, out: list[NodeEffect]) -> None:
        """Tells the machines what the journal had. To be called before anything else."""
        self._replicas.start(now_ns, out)

    # -- what others say --------------------------------------------------------------------------------

    def place(self, now_ns: int, place: Place, out: list[NodeEffect]) -> None:
        """Owns a task, or hands it to who does, or says that nobody is known to."""
        shard = shard_of_task(place.task)
        if self._tasks.owns(shard):
            if self._replicas.is_full and not self.owner.knows(place.task):
                sometimes("an owner with a full disk refused a task")
                out.append(ToPeer(place.gateway, Settled(place.task, None, self._full(), "", 0)))
            else:
                self.owner.place(now_ns, place, out)
            return
        owner, term = self._owner_of(shard)
        trail = take_hop(place.trail, self._me)
        if not isinstance(trail, tuple):
            sometimes("a placement had gone from node to node for long enough")
        if not owner or place.gateway == self._me or not isinstance(trail, tuple):
            out.append(ToPeer(place.gateway, Moved(place.task, term, owner)))
        else:
            out.append(ToPeer(owner, msgspec.structs.replace(place, trail=trail)))

    def whose(self, node: str, shard: int, out: list[NodeEffect]) -> None:
        """Says who owns a shard, as far as is known here."""
        term = self._tasks.owned.get(shard)
        owner, term = self._owner_of(shard) if term is None else (self._me, term)
        out.append(ToPeer(node, OwnedBy(shard, term, owner)))

    def enter(self, now_ns: int, node: str, enter: Enter, out: list[NodeEffect]) -> None:
        """A node saw to a task while this shard was not within its reach. What the log has decided of it is told."""
        shard = shard_of_task(enter.task)
        if not self._tasks.owns(shard):
            owner, term = self._owner_of(shard)
            out.append(ToPeer(node, Moved(enter.task, term, owner)))
            return
        entry = Entered(
            enter.task,
            enter.agent,
            enter.key,
            enter.payload,
            enter.result,
            enter.failure,
            node,
            (now_ns + self._epoch_ns) // _MS,
            enter.digest,
            enter.submitted_ms,
        )
        row = self._tasks.row(enter.task)
        if row is not None and row.has(entry):
            sometimes("a provisional outcome was offered again that had been entered")
            out.append(ToPeer(node, EnterDone(enter.task)))
        else:
            self._tasks.propose(now_ns, enter.task, entry)

    def heard_of(self, now_ns: int, node: str, led: Iterable[tuple[int, int]], out: list[NodeEffect]) -> None:
        """A node says which shards it owns, and in which terms."""
        for shard, term in led:
            self._replicas.heard_of(now_ns, shard, node, term, out)

    def receive(self, now_ns: int, node: str, message: ShardMessage, out: list[NodeEffect]) -> None:
        """A replica elsewhere says something."""
        self._replicas.receive(now_ns, node, message, out)

    def met(self, node: str) -> None:
        """Another process takes part: it does not know yet what this node owns."""
        self._succession.met(node)

    # -- the journal ------------------------------------------------------------------------------------

    def journal(self, now_ns: int, event: JournalEvent, out: list[NodeEffect]) -> None:
        """The journal answers."""
        match event:
            case Flushed(mark=mark):
                self._replicas.flushed(now_ns, mark, out)
            case JournalFailed(problem=problem):
                self._replicas.failed(now_ns, problem, out)
                out.append(
                    Log("error", f"the journal cannot be trusted, nothing is kept here any more: {problem}")
                )
            case JournalFull(problem=problem):
                self._replicas.full(problem)
                out.append(Log("error", f"the disk is full, new work is refused: {problem}"))
            case JournalHasRoom():
                self._replicas.has_room()
                out.append(Log("info", "the disk has room again"))

    # -- what the replicas say --------------------------------------------------------------------------

    def replicas_said(self, now_ns: int, effect: ShardEffect, out: list[NodeEffect]) -> None:
        """Follows the logs. `Commit` is not for here: it goes to the driver."""
        match effect:
            case (
                Committed(shard=shard) | Owning(shard=shard) | Disowned(shard=shard) | Restored(shard=shard)
            ) if shard == PRIVATE:
                self._own_log_said(now_ns, effect, out)
            case Committed(shard=shard, entries=entries):
                is_mine = self._tasks.owns(shard)
                changes = self._tasks.committed(shard, entries)
                if is_mine:
                    self._decided(now_ns, shard, changes, out)
            case Owning(shard=shard, term=term):
                self._succession.took_over(shard, term)
                unfinished = self._tasks.owning(shard, term)
                self._mark_fork(now_ns, shard, term)
                machine = self._tasks.machine(shard)
                unmerged = () if machine is None else machine.unmerged()
                self.owner.took_over(now_ns, unfinished, out, unmerged=unmerged)
            case Disowned(shard=shard):
                self._succession.gave_up(now_ns, shard)
                self._tasks.disowned(shard)
                self.owner.gave_up(now_ns, shard, out)
                if self.on_disowned is not None:
                    self.on_disowned(shard, out)
            case Restored(shard=shard, state=state):
                self._restore(now_ns, shard, state, out)
            case Forgotten(shard=shard):
                self._tasks.forgotten(shard)
            case ReadReady(ticket=ticket, is_owner=is_owner):
                if self.on_read is not None:
                    self.on_read(ticket, is_owner, out)
            case Commit():
                raise AssertionError("a commit is the driver's")

    # -- time -------------------------------------------------------------------------------------------

    def tick(self, now_ns: int, out: list[NodeEffect]) -> None:
        """Does what is due."""
        self._succession.tick(now_ns)
        self.owner.tick(now_ns, out)
        self.apart.tick(now_ns, out)
        self._replicas.tick(now_ns, out)

    def tick_ended(self, now_ns: int, out: list[NodeEffect]) -> frozenset[int]:
        """Closes the tick: what was proposed in it leaves. Returns the shards that this node has come to own."""
        self._tasks.compact()
        self.apart.compact()
        self._replicas.tick_ended(now_ns, out)
        return self._succession.announce(self._tasks.owned, out)

    def next_deadline_ns(self) -> int | None:
        return earliest(
            self.owner.next_deadline_ns(),
            self.apart.next_deadline_ns(),
            self._replicas.next_deadline_ns(),
        )

    # -- members ----------------------------------------------------------------------------------------

    def conditions_changed(self, now_ns: int) -> None:
        """Somebody came, went, or is in doubt; or the ring is another one."""
        well, doubtful, gone = self._view.conditions()
        self._replicas.conditions_changed(
            now_ns,
            well=well,
            doubtful=doubtful,
            gone=gone,
            draining=self._view.draining(),
            preferences=self._view.preference,
            spares=self._view.spares,
        )

    @property
    def owned(self) -> tuple[int, ...]:
        """The shards that this node owns."""
        return tuple(sorted(self._tasks.owned))

    @property
    def to_hand_over(self) -> int:
        """Replicas here that others could keep instead."""
        if not self._view.has_other_seats():
            return 0
        configs = (row.config for row in self._replicas.rows())
        return sum(self._me in config.voters or self._me in config.outgoing for config in configs)

    @property
    def work_left(self) -> int:
        """What this node should not leave with: replicas that others could keep, outcomes that only it knows."""
        return self.to_hand_over + len(self.apart)

    @property
    def counters(self) -> object:
        return self._replicas.counters

    @property
    def has_failed(self) -> bool:
        """Whether the journal cannot be trusted: nothing is owned or kept here any more."""
        return self._replicas.has_failed

    def peers(self) -> frozenset[str]:
        """The nodes with which this one keeps anything: their deaths are its business at once."""
        return self._replicas.peers()

    # -- as operators ask -------------------------------------------------------------------------------

    def owns(self, task: bytes) -> bool:
        """Whether this node decides about a task."""
        return self._tasks.owns(shard_of_task(task))

    @property
    def owns_any(self) -> bool:
        """Whether this node decides about any task."""
        return bool(self._tasks.owned)

    def row(self, task: bytes) -> Row | None:
        """What is known here of a task; see `read` for how fresh that is."""
        return self._tasks.row(task)

    def read(self, now_ns: int, task: bytes, out: list[NodeEffect]) -> int:
        """Asks whether this node still owns the task's shard; `on_read` is told, under the number that is returned."""
        self._tickets += 1
        self._replicas.read(now_ns, shard_of_task(task), self._tickets, out)
        return self._tickets

    def fork(self, now_ns: int, shard: int, above: int, by: str) -> int | None:
        """Founds a new lineage of a shard with the replica here; `on_forked` is told when its log says so.

        Gives the index where it begins, None if there is no replica here, or none that can.
        """
        self._forked_by[shard] = by
        return self._replicas.fork(now_ns, shard, above)

    def machine(self, shard: int) -> Machine | None:
        """The tasks of a shard, as far as its replica here has followed the log; None without one."""
        return self._tasks.machine(shard)

    def owned_machines(self) -> Iterator[tuple[int, Machine]]:
        """The tasks of the shards that this node owns."""
        return self._tasks.owned_machines()

    def shard_rows(self) -> list[dict[str, Any]]:
        """What this node knows of the shards that it replicates."""
        told = []
        for row in self._replicas.rows():
            machine = self._tasks.machine(row.shard)
            told.append(
                {
                    "shard": row.shard,
                    "owner": row.owner or "",
                    "is_owner": self._tasks.owns(row.shard),
                    "term": row.term,
                    "index": row.last_index,
                    "commit": row.commit,
                    "voters": row.config.voters,
                    "outgoing": row.config.outgoing,
                    "learners": row.config.learners,
                    "lag": dict(row.lag),
                    "condition": row.condition,
                    "last_term": row.last_term,
                    "forks": forks_of(row.last_term),
                    "live": 0 if machine is None else len(machine.live()),
                    "kept": 0 if machine is None else len(machine.rows),
                }
            )
        return told

    # -- inside -----------------------------------------------------------------------------------------

    def _owner_of(self, shard: int) -> tuple[str, int]:
        """Who else owns a shard, and its term: as it says itself, or as the replica here knows before that.

        The latter is not put into the view: for the gateway, whose other tasks wait for it, it is to be news.
        """
        owner, term = self._view.owner_of_shard(shard) or "", self._view.term_of_shard(shard)
        known = self._replicas.owner(shard)
        if known is not None and known[1] > term and self._view.is_present(known[0]):
            owner, term = known
        return ("", 0) if owner in ("", self._me) else (owner, term)

    def _own_log_said(self, now_ns: int, effect: ShardEffect, out: list[NodeEffect]) -> None:
        match effect:
            case Committed(entries=entries):
                self.apart.committed(now_ns, entries, out)
            case Owning():
                self.apart.opened(now_ns, out)
            case Disowned():
                self.apart.closed(now_ns, out)
            case Restored(state=state):
                self.apart.restored(state)
            case _:
                raise AssertionError(f"a log that is nobody else's tells no {type(effect).__name__}")

    def _mark_fork(self, now_ns: int, shard: int, term: int) -> None:
        """The first owner of a new lineage says so in the log, before it goes on with what is unfinished."""
        by, lineage = self._forked_by.pop(shard, ""), lineage_of(term)
        machine = self._tasks.machine(shard)
        forks = () if machine is None else machine.forks
        if lineage and all(fork.lineage != lineage for fork in forks):
            self._tasks.fork(now_ns, shard, Forked((now_ns + self._epoch_ns) // _MS, by or self._me, lineage))

    def _restore(self, now_ns: int, shard: int, state: bytes, out: list[NodeEffect]) -> None:
        """Starts a shard from a state. One that cannot be read, of a later release say, costs this replica alone."""
        try:
            self._tasks.restored(shard, state)
        except ValueError as problem:
            self._tasks.forgotten(shard)
            out.append(Log("error", f"the replica of shard {shard} here is of no use: {problem}"))
            self._replicas.distrust(now_ns, shard, str(problem), out)

    def _decided(self, now_ns: int, shard: int, changes: list[Change], out: list[NodeEffect]) -> None:
        """Its owner acts on what the log of a shard has decided, and so do those who wait for it."""
        for entry, row in changes:
            if isinstance(entry, Forked) and self.on_forked is not None:
                self.on_forked(shard, out)
            self.owner.decided(now_ns, entry, row, out)
            if isinstance(entry, Entered):
                out.append(ToPeer(entry.node, EnterDone(entry.task)))
            if row is not None and self.on_changed is not None:
                self.on_changed(row, out)

    def _full(self) -> Failure:
        return Failure(
            code="overloaded",
            message="the disk of the node that owns the task's shard is full: make room there, or try again later",
            where=f"owner {self._me}",
            retry_after_ms=_RETRY_AFTER_MS,
        )
