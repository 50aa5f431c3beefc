"""The journal on this machine's disk: what an entry costs, how long a commit takes, how large the file gets.

`python -m benchmarks.journal --json` prints one document with a field per figure, and the bounds beside them under
`figures`. Exit code 0 if all bounds are met, else 1. `--at DIR` chooses the disk.
"""

import argparse
import os
import random
import sys
import tempfile
import time
from pathlib import Path

from benchmarks._figures import Figure, Report, bounded, concluded, median, percentile, shown
from hubless.journal import Journal
from hubless.shard.records import Entries, Record, Snapshot
from hubless.wire.replication import Config, Entry

SHARDS = 64
BODY_BYTES = 1_100
STATE_BYTES = 64 * 1024
SNAPSHOT_EVERY = 500
SEED = 1
MESH = b"benchmrk"
CONFIG = Config(("n1", "n2", "n3"))


def main() -> int:
    """Measure, print, and say by the exit code whether all bounds are met."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.journal", description=__doc__)
    parser.add_argument("--json", action="store_true", help="one JSON document")
    parser.add_argument("--at", type=Path, default=None, help="a directory on the disk to measure")
    chosen = parser.parse_args()
    start, cpu = time.perf_counter(), time.process_time()
    figures: list[Figure] = []
    with tempfile.TemporaryDirectory(dir=chosen.at) as folder:
        figures += [
            shown("flush_ms", _bare_flush_ms(Path(folder)), unit="ms", note="append 4 KiB, fdatasync")
        ]
        figures += alone(Path(folder))
        figures += busy(Path(folder), "busy", shards=20, entries=2, total=160_000)
        figures += busy(Path(folder), "wide", shards=60, entries=3, total=160_000)
    wall_s, cpu_s = round(time.perf_counter() - start, 1), round(time.process_time() - cpu, 1)
    return concluded(Report("journal", figures, 1, [SEED], wall_s, cpu_s), as_json=chosen.json)


def alone(folder: Path) -> list[Figure]:
    """One entry a commit: what one task in flight waits for."""
    journal = _opened(folder / "alone.db")
    body = random.Random(SEED).randbytes(BODY_BYTES)
    took: list[float] = []
    for index in range(1, 3_001):
        records = [Entries(index % SHARDS, (Entry(1 + (index - 1) // SHARDS, 1, 1, body),))]
        took.append(_ms(journal, records))
    journal.close()
    return [
        shown("alone_p50_ms", median(took), unit="ms", note="a commit of one entry"),
        shown("alone_p99_ms", percentile(took, 0.99), unit="ms"),
    ]


def busy(folder: Path, name: str, *, shards: int, entries: int, total: int) -> list[Figure]:
    """Many entries a commit, with snapshots: cost by wall and by processor, sizes at half time and at the end."""
    rng = random.Random(SEED)
    journal = _opened(folder / f"{name}.db")
    body, state = rng.randbytes(BODY_BYTES), rng.randbytes(STATE_BYTES)
    last = [0] * SHARDS
    compacted = [rng.randrange(-SNAPSHOT_EVERY, 0) for _ in range(SHARDS)]
    took: list[float] = []
    sizes: list[int] = []
    cpu_s, done = 0.0, 0
    while done < total:
        records: list[Record] = []
        for shard in rng.sample(range(SHARDS), shards):
            first = last[shard] + 1
            last[shard] += entries
            records.append(
                Entries(shard, tuple(Entry(index, 1, 1, body) for index in range(first, last[shard] + 1)))
            )
            if last[shard] - compacted[shard] > SNAPSHOT_EVERY:
                compacted[shard] = last[shard]
                records.append(Snapshot(shard, last[shard], 1, CONFIG, state))
        done += shards * entries
        cpu = time.process_time()
        took.append(_ms(journal, records))
        cpu_s += time.process_time() - cpu
        sizes.append(journal.size_bytes)
    journal.close()
    start = time.perf_counter()
    journal = _opened(folder / f"{name}.db")
    found = sum(len(each.entries) for each in journal.recovered())
    restart_ms = (time.perf_counter() - start) * 1e3
    journal.close()
    half = len(sizes) // 2
    what = f"{shards} shards, {entries} entries each, {BODY_BYTES} B"
    return [
        bounded(f"{name}_cpu_us", cpu_s * 1e6 / done, 20.0, unit="us", note=f"an entry; {what}"),
        shown(f"{name}_us", sum(took) * 1e3 / done, unit="us", note="an entry, by wall time"),
        shown(f"{name}_p50_ms", median(took), unit="ms", note="a commit"),
        shown(f"{name}_p99_ms", percentile(took, 0.99), unit="ms"),
        shown(f"{name}_max_ms", max(took), unit="ms", note="with a checkpoint"),
        bounded(
            f"{name}_growth",
            max(sizes[half:]) / max(sizes[:half]),
            1.2,
            note="largest file, second half to first",
        ),
        shown(f"{name}_size_mb", max(sizes) / 1e6, unit="MB"),
        shown(f"{name}_restart_ms", restart_ms, unit="ms", note=f"open, verify and read {found} entries"),
    ]


def _opened(path: Path) -> Journal:
    return Journal(path, mesh=MESH, node="n1")


def _ms(journal: Journal, records: list[Record]) -> float:
    start = time.perf_counter()
    journal.commit(records)
    return (time.perf_counter() - start) * 1e3


def _bare_flush_ms(folder: Path) -> float:
    took: list[float] = []
    with (folder / "bare").open("wb", buffering=0) as file:
        for _ in range(300):
            start = time.perf_counter()
            file.write(bytes(4096))
            os.fdatasync(file.fileno())
            took.append((time.perf_counter() - start) * 1e3)
    return median(took)


if __name__ == "__main__":
    sys.exit(main())
