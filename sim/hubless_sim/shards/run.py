"""Runs of bare shards: clients write and read registers while faults go on, and everything is checked."""

from typing import Any

from hubless_sim import checkers
from hubless_sim.faults import indices
from hubless_sim.names import name_of
from hubless_sim.run import Run
from hubless_sim.shards.audit import Audit, has_majority
from hubless_sim.shards.client import Done, ShardClient
from hubless_sim.shards.host import ShardHost, ShardSetting
from hubless_sim.tapes.operations import Operation, Opinion, Ring
from hubless_sim.tapes.systems import ShardSystem
from hubless_sim.tapes.tape import Tape, TapeError
from hubless_sim.verdict import Violation, breaches
from hubless_sim.world.hosts import Birth, Host
from hubless_sim.world.recorder import Recorder


class ShardRun(Run):
    """A run of the replicas alone.  Raises TapeError on a tape that cannot be run."""

    def __init__(self, tape: Tape, recorder: Recorder | None = None) -> None:
        system = tape.system
        if not isinstance(system, ShardSystem):
            raise TypeError(f"the tape's system is {system!r}; see hubless_sim.play for any system")
        try:
            settings = system.to_settings()
        except ValueError as error:
            raise TapeError(f"tape: {error} at `$.system`.") from error
        self.system = system
        self.done: list[Done] = []
        self.audit = Audit(
            disk_of=lambda index: self.world.disk(index).contents,
            name_of=self.name_of,
            clock=lambda: self.world.now_ns,
            nodes=tape.nodes,
        )
        self._setting = ShardSetting(
            mesh=tape.seed.to_bytes(8, "big"),
            nodes=tape.nodes,
            shards=system.shards,
            replicas=system.replicas,
            settings=settings,
            name_of=self.name_of,
        )
        super().__init__(tape, recorder)

    def name_of(self, index: int) -> str:
        """The node that has, or had, the disk of a machine."""
        return name_of(index, self.world.disk(index).formats)

    def make(self, birth: Birth) -> Host:
        """The replicas of a node, or a client."""
        tape, system = self.tape, self.system
        if birth.node < tape.nodes:
            self.command_now(birth.node, None)
            ring = indices(system.ring) or range(tape.nodes)
            return ShardHost(birth, setting=self._setting, ring=tuple(ring), audit=self.audit)
        return ShardClient(
            birth,
            turn=birth.node - tape.nodes,
            clients=tape.clients,
            nodes=tape.nodes,
            shards=system.shards,
            workload=system.workload,
        )

    def order(self, operation: Operation) -> Operation | None:
        """Orders are handed over as they are."""
        return operation if isinstance(operation, Ring | Opinion) else None

    def observe(self, now_ns: int, node: int, value: Any) -> None:  # noqa: ARG002 a Done says all that
        """A client has an answer, or has given up."""
        self.done.append(value)

    def is_over(self) -> bool:
        """Whether all probes are answered."""
        first, clients = self.tape.nodes, self.tape.clients
        hosts = [self.world.host(index) for index in range(first, first + clients)]
        return clients > 0 and all(host is not None and host.is_done for host in hosts)

    def found(self) -> dict[str, Any]:
        """What happened, in numbers."""
        return {
            "elections": self.audit.elections,
            "commits": self.audit.commits,
            "answered": sum(each.return_ns is not None for each in self.done),
            "given_up": sum(each.return_ns is None for each in self.done),
            "lost_shards": [shard for shard in range(self.system.shards) if self.has_lost_quorum(shard)],
        }

    def violations(self) -> list[Violation]:
        """What the audit saw, histories that nothing explains, and shards that do not live after all."""
        return [
            *self.audit.violations,
            *breaches("linearizable", self._impossible()),
            *breaches("shards live", self._dead()),
        ]

    def noticed(self) -> int:
        """What the audit has seen."""
        return len(self.audit.violations)

    def has_lost_quorum(self, shard: int) -> bool:
        """Whether the shard cannot live any more: a majority of its voters is gone for good.

        These are those of the last committed configuration, and of the latest one in the most up to date of the logs
        that are left: who has that log can neither be elected without them, nor be outvoted.
        """
        sound = [index for index in range(self.tape.nodes) if self._is_sound(index, shard)]
        names = {self.name_of(index) for index in sound}
        best = max(sound, key=lambda index: self.audit.last_entry(index, shard), default=None)
        latest = None if best is None else self.audit.latest_config(best, shard)
        committed = self.audit.config(shard)
        return not all(config is not None and has_majority(config, names) for config in (latest, committed))

    def _is_sound(self, index: int, shard: int) -> bool:
        host = self.world.host(index)
        if host is None or host.replicas.condition.startswith("journal failed"):
            return False
        return not self.world.disk(index).contents.extent(shard).damage

    def history(self) -> list[checkers.Operation]:
        """All requests as the checker takes them."""
        operations = []
        for each in self.done:
            ask, register = each.ask, (each.ask.shard, each.ask.key)
            is_open = each.return_ns is None
            if ask.value is None:
                what: checkers.Read | checkers.Write = checkers.Read(register)
                output: Any = each.value
            else:
                what, output = checkers.Write(register, ask.value), None
            operations.append(
                checkers.Operation(
                    each.call_ns,
                    each.return_ns,
                    what,
                    checkers.UNKNOWN if is_open else output,
                    f"n{each.client}",
                )
            )
        for index in range(self.tape.nodes, self.tape.nodes + self.tape.clients):
            operations += self._under_way(index)
        return operations

    def _under_way(self, index: int) -> list[checkers.Operation]:
        """The request that a client still waits for."""
        client: ShardClient | None = self.world.host(index)
        waiting = None if client is None else client.waiting
        if waiting is None or waiting.ask.value is None:
            return []
        what = checkers.Write((waiting.ask.shard, waiting.ask.key), waiting.ask.value)
        return [checkers.Operation(waiting.call_ns, None, what, client=f"n{index}")]

    def _impossible(self) -> list[str]:
        verdict = checkers.check(self.history(), checkers.RegisterSpec())
        if verdict.is_linearizable:
            return []
        return [f"the history of register {verdict.part} is not linearizable: see {verdict.culprit}"]

    def _dead(self) -> list[str]:
        """Each shard whose quorum is there must have answered its probes, if the tape lasts until they are made."""
        if self.tape.duration_ms < self.system.workload.probe_ms:
            return []
        probed: dict[int, int] = {}
        for each in self.done:
            if each.is_probe and each.return_ns is not None:
                probed[each.ask.shard] = probed.get(each.ask.shard, 0) + 1
        return [
            f"shard {shard} does not live: {probed.get(shard, 0)} of 2 probes were answered"
            for shard in range(self.system.shards)
            if probed.get(shard, 0) < 2 and not self.has_lost_quorum(shard)
        ]
