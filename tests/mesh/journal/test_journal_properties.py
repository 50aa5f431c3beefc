"""Any commits, ended at any moment: what is found is what some prefix of them says, with all that were acknowledged."""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from hubless.journal import Journal
from hubless.shard.records import Forget, HardState, Record, Recovered

SHARDS = 3

steps = st.tuples(
    st.sampled_from(["append", "append", "replace", "state", "snapshot", "install", "forget"]),
    st.integers(0, SHARDS - 1),
    st.integers(0, 5),
)
batches = st.lists(st.lists(steps, min_size=1, max_size=5), min_size=1, max_size=25)


def _record(kit, model, step: tuple[str, int, int], term: int) -> Record:
    """A record that fits what the model has."""
    kind, shard, size = step
    last, start = model.last(shard), model.start(shard)
    match kind:
        case "append":
            return kit.entries(shard, last + 1, last + 1 + size, term=term, body=bytes([term % 256]) * 800)
        case "replace":
            first = max(1, start - 1, last - size)
            return kit.entries(shard, first, first + size, term=term)
        case "state":
            return HardState(shard, term, f"n{size}")
        case "snapshot":
            return kit.snapshot(shard, max(start, last - size), state=bytes(size * 1_000))
        case "install":
            return kit.snapshot(shard, last + size, state=b"i" * size, keeps_log=False)
        case _:
            return Forget(shard)


@settings(max_examples=120, deadline=None)
@given(data=st.data(), plan=batches, slack=st.sampled_from([0, 2_000, 1_000_000]))
def test_a_copy_at_any_moment_holds_a_prefix(kit, data, plan, slack: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "journal.db"
        journal = Journal(path, mesh=kit.mesh, node=kit.node, slack_bytes=slack)
        model = kit.model()
        states: list[list[Recovered]] = [[]]
        for number, batch in enumerate(plan, 1):
            records = []
            for step in batch:
                records.append(_record(kit, model, step, number))
                model.commit(records[-1:])
            journal.commit(records)
            states.append(model.recovered())
            match data.draw(st.sampled_from(["go on", "go on", "restart", "crash", "tear"])):
                case "restart":
                    journal.close()
                    journal = Journal(path, mesh=kit.mesh, node=kit.node, slack_bytes=slack)
                    assert journal.recovered() == states[-1]
                case "crash":
                    assert _read(kit, _copied(path, Path(folder) / f"copy-{number}")) == states[-1]
                case "tear":
                    copy = _copied(path, Path(folder) / f"copy-{number}")
                    log = copy.with_name("journal.db-wal")
                    share = data.draw(st.floats(0, 1))
                    os.truncate(log, int(share * log.stat().st_size))
                    assert _read(kit, copy) in states
        assert journal.recovered() == states[-1]
        journal.close()


def _copied(path: Path, to: Path) -> Path:
    to.mkdir()
    for file in path.parent.glob(f"{path.name}*"):
        shutil.copy(file, to / file.name)
    return to / path.name


def _read(kit, path: Path) -> list[Recovered]:
    journal = Journal(path, mesh=kit.mesh, node=kit.node)
    found = journal.recovered()
    journal.close()
    return found


# -- a process that is killed -----------------------------------------------------------------------------

WRITER = """
import sys
from pathlib import Path
from hubless.journal import Journal
from hubless.shard.records import Entries, HardState, Snapshot
from hubless.wire.replication import Config, Entry

journal = Journal(Path(sys.argv[1]), mesh=b"12345678", node="n1", slack_bytes=100_000)
number = max((each.term for each in journal.recovered()), default=0)
while True:
    number += 1
    records = [HardState(0, number, "n1")]
    for shard in range(4):
        records.append(Entries(shard, (Entry(number, number, 1, bytes(3_000)),)))
        if number % 10 == 0 and number % 7 != shard:
            records.append(Snapshot(shard, number - 2, number, Config(("n1",)), bytes(400_000)))
    journal.commit(records)
    print(number, flush=True)
"""


def test_a_process_killed_at_any_moment_loses_nothing_that_it_acknowledged(tmp_path: Path) -> None:
    rng = random.Random(1)
    path = tmp_path / "journal.db"
    acknowledged = 0
    for _ in range(8):
        process = subprocess.Popen(
            [sys.executable, "-c", WRITER, str(path)], stdout=subprocess.PIPE, text=True
        )
        assert process.stdout is not None
        for _ in range(rng.randint(1, 60)):
            acknowledged = int(process.stdout.readline())
        process.send_signal(signal.SIGKILL)
        acknowledged = max([acknowledged, *map(int, process.stdout.read().split())])
        process.wait()
        process.stdout.close()
        journal = Journal(path, mesh=b"12345678", node="n1", slack_bytes=100_000)
        found = journal.recovered()
        journal.close()
        assert acknowledged <= found[0].term <= acknowledged + 1
        for each in found:
            assert not each.damage
            last = each.entries[-1].index if each.entries else 0
            assert last == found[0].term
