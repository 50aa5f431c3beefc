"""The canary: a tape is the same run in every process, whatever the order of its sets; what is not is caught here.

Cores have tests of this kind of their own. These are about whole runs, of each system.
"""

import os
import shutil
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterator, Sequence

import pytest

from hubless_sim.play import play
from hubless_sim.search.coverage import tape_of
from hubless_sim.search.interpreters import InterpreterError, check_code, environment

HASH_SEEDS = ("0", "1", "77", "4242", "123456")
TAPES = (
    "gossip:3",
    "gossip_small_limits",
    "shards:7",
    "mesh:5",
    "mesh_apart_first",
    "mesh_forked",
)
PLAY = """
import sys
from hubless_sim.play import play
from hubless_sim.search.coverage import tape_of

for name in sys.argv[1:]:
    print(name, play(tape_of(name)).digest)
"""
PLANTS = {
    "hubless_gossip.own": "gossip:235",
    "hubless.shard.election": "shards:7",
}
"""Modules of cores that send something to each of a set of names, and tapes in which they do."""


def digests(script: str, *names: str, pythons: Sequence[str] = (sys.executable,)) -> dict[str, set[str]]:
    """The digests of each tape, played once in a process for each of the interpreters and hash seeds."""
    running = [
        subprocess.Popen(
            [python, "-c", script, *names],
            env=environment(PYTHONHASHSEED=hash_seed),
            stdout=subprocess.PIPE,
            text=True,
        )
        for python in pythons
        for hash_seed in HASH_SEEDS
    ]
    found: defaultdict[str, set[str]] = defaultdict(set)
    for process in running:
        told, _ = process.communicate(timeout=300)
        assert process.returncode == 0
        for line in told.splitlines():
            name, digest = line.split()
            found[name].add(digest)
    return dict(found)


def test_a_tape_is_the_same_run_whatever_the_hash_seed() -> None:
    found = digests(PLAY, *TAPES)
    assert found == {name: {play(tape_of(name)).digest} for name in TAPES}


def interpreters() -> Iterator[str]:
    """This one, and the others on PATH that have what the code needs."""
    yield sys.executable
    for minor in range(11, 20):
        for folder in os.get_exec_path():
            python = shutil.which(f"python3.{minor}", path=folder)
            if python is None or minor == sys.version_info.minor:
                continue
            try:
                check_code(python)
            except InterpreterError:
                continue
            yield python
            break


@pytest.mark.long
def test_a_tape_is_the_same_run_in_every_python_on_the_path() -> None:
    pythons = [*interpreters()]
    assert len(pythons) > 1, "put one more Python that has hubless, or what it needs, on PATH"
    found = digests(PLAY, *TAPES, pythons=pythons)
    assert found == {name: {play(tape_of(name)).digest} for name in TAPES}


@pytest.mark.parametrize("module", sorted(PLANTS))
def test_a_core_that_iterates_a_set_of_strings_is_caught(module: str) -> None:
    unsorted = f"import {module} as core\ncore.sorted = list\n"
    found = digests(unsorted + PLAY, PLANTS[module])
    assert len(found[PLANTS[module]]) > 1
