"""What must hold of all replicas after every event, seen from outside: by what they say, write and hand out.

Election safety, log matching, leader completeness and state machine safety are the dissertation's (figure 3.2).  To
these come the order of promises: no vote and no acknowledgement leaves a node before it is on its disk.
"""

from collections.abc import Callable, Iterable, Sequence

from hubless.effects import ToPeer
from hubless.shard import configs
from hubless.shard.records import Entries, Forget, Record, Recovered, Snapshot
from hubless.wire.replication import (
    Append,
    Appended,
    AskVote,
    Config,
    Entry,
    Install,
    Vote,
)
from hubless_sim.verdict import Violation
from hubless_sim.world.disk import Contents

_MOST_VIOLATIONS = 20

Value = tuple[int, int, bytes]


class _Log:
    """The log of one replica as its process knows it, on disk or not: terms by index, and its configurations."""

    __slots__ = ("base", "base_term", "configs", "terms")

    def __init__(self, snapshot: Snapshot | None) -> None:
        self.base = 0
        self.base_term = 0
        self.terms: list[int] = []
        self.configs: list[tuple[int, Config]] = []
        if snapshot is not None:
            self.restore(snapshot)

    def restore(self, snapshot: Snapshot) -> None:
        kept = self.terms[snapshot.index - self.base :] if snapshot.keeps_log else []
        self.configs = [each for each in self.configs if each[0] > snapshot.index and snapshot.keeps_log]
        self.configs.insert(0, (snapshot.index, snapshot.config))
        self.base, self.base_term, self.terms = snapshot.index, snapshot.term, kept

    def put(self, entry: Entry) -> None:
        del self.terms[entry.index - self.base - 1 :]
        self.terms.append(entry.term)
        while self.configs and self.configs[-1][0] >= entry.index:
            self.configs.pop()
        if entry.kind == configs.CONFIG:
            config = configs.decode(entry.body)
            if config is not None:
                self.configs.append((entry.index, config))

    def term(self, index: int) -> int | None:
        """None if the log does not reach it; what is in the snapshot is not known by its term."""
        place = index - self.base - 1
        if place == -1:
            return self.base_term
        return self.terms[place] if 0 <= place < len(self.terms) else None


class Audit:
    """Follows all replicas of a run.

    ``disk_of`` gives what is on a machine's disk, ``name_of`` who runs there, ``clock`` virtual time.
    """

    def __init__(
        self,
        *,
        disk_of: Callable[[int], Contents],
        name_of: Callable[[int], str],
        clock: Callable[[], int],
        nodes: int,
    ) -> None:
        self.violations: list[Violation] = []
        self.elections = 0
        self.commits = 0
        self._disk_of = disk_of
        self._name_of = name_of
        self._clock = clock
        self._nodes = nodes
        self._logs: dict[tuple[int, int], _Log] = {}
        self._owners: dict[tuple[int, int], str] = {}
        self._votes: dict[tuple[int, int, str], str] = {}
        self._written: dict[tuple[int, int, int], tuple[int, bytes, int]] = {}
        self._chosen: dict[int, dict[int, Value]] = {}
        self._handed: dict[tuple[int, int], int] = {}

    # What happens

    def born(self, node: int, recovered: Iterable[Recovered]) -> None:
        """A process starts from what its disk holds."""
        for key in [key for key in self._logs if key[0] == node]:
            del self._logs[key]
        for key in [key for key in self._handed if key[0] == node]:
            del self._handed[key]
        for each in recovered:
            log = self._logs[node, each.shard] = _Log(each.snapshot)
            for entry in each.entries:
                log.put(entry)

    def wrote(self, node: int, records: Sequence[Record]) -> None:
        """Records are on their way to the disk."""
        for record in records:
            match record:
                case Entries(shard=shard, entries=entries):
                    log = self._log(node, shard)
                    for entry in entries:
                        log.put(entry)
                        self._match(node, shard, entry, log.term(entry.index - 1))
                case Snapshot(shard=shard):
                    self._log(node, shard).restore(record)
                case Forget(shard=shard):
                    self._logs.pop((node, shard), None)
                    self._handed.pop((node, shard), None)
                case _:
                    pass

    def said(self, node: int, name: str, said: ToPeer) -> None:
        """A message leaves."""
        match said.message:
            case Append(shard=shard, term=term) | Install(shard=shard, term=term):
                self._leads(node, name, shard, term)
            case Appended(shard=shard, term=term, index=index, refused=False):
                disk = self._disk_of(node).extent(shard)
                if disk.term <= term and disk.last_index < index:
                    self._wrong(
                        "order of promises",
                        node,
                        f"{name} acknowledged {index} of shard {shard}, its disk has {disk}",
                    )
            case Vote(shard=shard, term=term, granted=True, trial=False):
                self._voted(node, name, shard, term, said.node)
            case AskVote(shard=shard, term=term, trial=False):
                self._voted(node, name, shard, term, name)
            case _:
                pass

    def owns(self, node: int, name: str, shard: int, term: int) -> None:
        """A node was told that it owns a shard."""
        self._leads(node, name, shard, term)

    def restored(self, node: int, shard: int) -> None:
        """A machine starts anew from a state."""
        self._handed.pop((node, shard), None)

    def committed(self, node: int, shard: int, entries: Sequence[Entry]) -> None:
        """Entries were handed to the machine of a shard."""
        chosen = self._chosen.setdefault(shard, {})
        for entry in entries:
            before = self._handed.get((node, shard))
            if before is not None and entry.index != before + 1:
                self._wrong(
                    "state machine safety",
                    node,
                    f"n{node} was handed {entry.index} of shard {shard} after {before}",
                )
            self._handed[node, shard] = entry.index
            value = (entry.term, entry.kind, entry.body)
            if entry.index not in chosen:
                chosen[entry.index] = value
                self.commits += 1
                self._is_held(node, shard, entry)
            elif chosen[entry.index] != value:
                self._wrong(
                    "state machine safety",
                    node,
                    f"two values are committed at {entry.index} of shard {shard}: {chosen[entry.index]} and, by "
                    f"n{node}, {value}",
                )

    def config(self, shard: int) -> Config | None:
        """The configuration that was committed last in a shard."""
        chosen = self._chosen.get(shard, {})
        last = max((index for index, value in chosen.items() if value[1] == configs.CONFIG), default=None)
        return None if last is None else configs.decode(chosen[last][2])

    def last_entry(self, node: int, shard: int) -> tuple[int, int]:
        """Term and index of the last entry in a replica's log: what makes one more up to date than another (3.6.1)."""
        log = self._log(node, shard)
        return (log.terms[-1] if log.terms else log.base_term, log.base + len(log.terms))

    def latest_config(self, node: int, shard: int) -> Config | None:
        """The latest configuration in a replica's log, committed or not."""
        found = self._log(node, shard).configs
        return found[-1][1] if found else None

    # Inside

    def _log(self, node: int, shard: int) -> _Log:
        log = self._logs.get((node, shard))
        if log is None:
            log = self._logs[node, shard] = _Log(None)
        return log

    def _match(self, node: int, shard: int, entry: Entry, before: int | None) -> None:
        """Log matching: an index and a term name one entry, and one that comes before it."""
        if before is None:
            before = 0
        what = (entry.kind, entry.body, before)
        known = self._written.setdefault((shard, entry.index, entry.term), what)
        if known != what:
            self._wrong(
                "log matching",
                node,
                f"entry {entry.index} of term {entry.term} in shard {shard} is {known} and {what} "
                "(kind, body, term before)",
            )

    def _leads(self, node: int, name: str, shard: int, term: int) -> None:
        """Election safety; and leader completeness, when an owner is first heard of."""
        owner = self._owners.get((shard, term))
        if owner == name:
            return
        if owner is not None:
            self._wrong("election safety", node, f"{owner} and {name} both own shard {shard} in term {term}")
            return
        self._owners[shard, term] = name
        self.elections += 1
        log = self._log(node, shard)
        for index, value in self._chosen.get(shard, {}).items():
            if index > log.base and value[0] < term and log.term(index) != value[0]:
                self._wrong(
                    "leader completeness",
                    node,
                    f"{name} owns shard {shard} in term {term} without the entry {index} of term {value[0]}, "
                    "which was committed before",
                )
                return

    def _voted(self, node: int, name: str, shard: int, term: int, candidate: str) -> None:
        """A node votes once in a term, for itself or another, and not before the vote is on its disk."""
        given = self._votes.setdefault((shard, term, name), candidate)
        if given != candidate:
            self._wrong(
                "election safety",
                node,
                f"{name} voted for {given} and for {candidate} in term {term} of shard {shard}",
            )
        disk = self._disk_of(node).extent(shard)
        if not (disk.term > term or (disk.term == term and disk.vote == candidate)):
            self._wrong(
                "order of promises",
                node,
                f"{name} voted for {candidate} in term {term} of shard {shard}, its disk has {disk.term}, "
                f"{disk.vote!r}",
            )

    def _is_held(self, node: int, shard: int, entry: Entry) -> None:
        """What is committed is on the disks of a quorum; of a configuration of its log, the last or the one before."""
        latest = [config for _, config in self._log(node, shard).configs[-2:]]
        holders = set()
        names = set()
        for index in range(self._nodes):
            name = self._name_of(index)
            names.add(name)
            if self._disk_of(index).has(shard, entry.index, entry.term):
                holders.add(name)
        for config in latest:
            holders.update(each for each in (*config.voters, *config.outgoing) if each not in names)
        if not any(has_majority(config, holders) for config in latest):
            self._wrong(
                "leader completeness",
                node,
                f"entry {entry.index} of term {entry.term} in shard {shard} is committed by n{node}, and only on "
                f"the disks of {sorted(holders)}, of {latest}",
            )

    def _wrong(self, checker: str, node: int, text: str) -> None:
        if len(self.violations) < _MOST_VIOLATIONS:
            self.violations.append(Violation(checker, text, self._clock(), (f"n{node}",)))


def has_majority(config: Config, holders: set[str]) -> bool:
    """Whether these are a majority of the voters, and of the outgoing ones of a joint configuration."""
    halves = [half for half in (config.voters, config.outgoing) if half]
    return all(2 * sum(voter in holders for voter in half) > len(half) for half in halves)
