"""What there is to see of real processes: what clients and workers wrote down, what nodes said, and their disks."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from hubless.datadir import DataDirectory
from hubless.journal import Journal, JournalError
from hubless.shard.records import Recovered
from hubless.tasks.machine import Machine
from hubless.tasks.shards import TASKS
from hubless_sim.mesh.observed import Heard, Start
from hubless_sim.real.told import Look
from hubless_sim.tapes.operations import Call, Query
from hubless_sim.tapes.systems import MeshSystem
from hubless_sim.tapes.tape import Tape


class Sight(Heard):
    """An ``Observed`` of processes. Disks are read once, when nobody writes to them any more.

    What a node says of itself comes from the last ``Look``; what it holds, from its journal, every entry of which
    counts: at the end of a calm nothing in it is undecided.
    """

    def __init__(self, tape: Tape, system: MeshSystem) -> None:
        super().__init__()
        self.system = system
        self.calls = tuple(each for each in tape.operations if isinstance(each, Call))
        self.queries = tuple(each for each in tape.operations if isinstance(each, Query))
        self.unowned: dict[int, tuple[str, ...]] = {}
        self.starts: dict[bytes, list[Start]] = {}
        self.misled: frozenset[tuple[bytes, int, bytes]] = frozenset()
        self.look = Look(at_ns=0, owned={}, unfinished={})
        self._disks: dict[str, tuple[str, list[Recovered]]] = {}
        self._machines: dict[str, dict[int, Machine]] = {}
        self.journal_bytes = 0

    # What was seen

    def running(self) -> list[str]:
        return list(self._disks)

    def owners(self) -> dict[int, tuple[str, ...]]:
        return owners_in(self.look, self.system.shards)

    def machine(self, node: str, shard: int) -> Machine | None:
        return self._machines[node].get(shard)

    def journals(self) -> Iterator[tuple[str, Sequence[Recovered]]]:
        yield from self._disks.values()

    def unfinished(self) -> Mapping[str, Any]:
        return {f"n{node}": each for node, each in self.look.unfinished.items()}

    # Seeing it

    def read_disk(self, name: str, data: Path) -> None:
        """Reads what a node that ran to the end has left. A journal that cannot be read is one with nothing in it."""
        directory = DataDirectory(data)
        try:
            formatted = directory.formatted
            if formatted is None:
                return
            mesh, node = bytes.fromhex(formatted.mesh), formatted.node
            try:
                journal = Journal(directory.journal_path, mesh=mesh, node=node)
            except JournalError:
                self._disks[name], self._machines[name] = (node, []), {}
                return
            self.journal_bytes += journal.size_bytes
            recovered = journal.recovered()
            journal.close()
        finally:
            directory.close()
        self._disks[name] = node, recovered
        self._machines[name] = {
            each.shard: _machine_of(each)
            for each in recovered
            if each.shard < self.system.shards and (each.snapshot is not None or each.entries)
        }

    def read_starts(self, lines: Path, epoch_ns: int, boots: Mapping[int, tuple[str, int]]) -> None:
        """Reads what the workers wrote down; see ``agents``."""
        text = lines.read_text() if lines.exists() else ""
        started = sorted(
            (line.split(maxsplit=4) for line in text.splitlines()), key=lambda line: int(line[3])
        )
        for task, attempt, process, at_ns, _ in started:
            node, boot = boots[int(process)]
            start = Start(int(at_ns) - epoch_ns, node, boot, int(attempt))
            self.starts.setdefault(bytes.fromhex(task), []).append(start)


def owners_in(look: Look, shards: int) -> dict[int, tuple[str, ...]]:
    """By shard, the nodes that said they own it."""
    return {
        shard: tuple(f"n{node}" for node, owned in sorted(look.owned.items()) if shard in owned)
        for shard in range(shards)
    }


def _machine_of(found: Recovered) -> Machine:
    machine = Machine() if found.snapshot is None else Machine.from_state(found.snapshot.state)
    for entry in found.entries:
        if entry.kind == TASKS and (found.snapshot is None or entry.index > found.snapshot.index):
            machine.apply(entry.body)
    return machine
