"""A snapshot is the machine to the byte, or it is refused."""

import os
import subprocess
import sys

import msgspec
import pytest

from hubless.tasks.entries import AttemptEnded, Follows, Submitted, encode_entry
from hubless.tasks.machine import Machine
from hubless.tasks.retention import Retention
from hubless_agents import Failure

FILL = """
import random
from hubless.tasks.entries import *
from hubless.tasks.machine import Machine
import hashlib
rng = random.Random(3)
machine = Machine()
for at_ms in range(3_000):
    task = rng.randrange(400).to_bytes(16, "big")
    machine.apply(encode_entry(rng.choice([
        Submitted(task, f"agent-{at_ms % 7}", "", rng.randbytes(20), at_ms, at_ms + 9, 1, "n1"),
        AttemptEnded(task, 1, b"r", None, at_ms),
        Cancelled(task, at_ms),
    ])))
print(hashlib.sha256(machine.state()).hexdigest())
"""


def filled(rows: int = 100) -> Machine:
    machine = Machine()
    for number in range(rows):
        task = number.to_bytes(16, "big")
        machine.apply(encode_entry(Submitted(task, "echo", "", bytes(1_000), number, number + 9, 1, "n1")))
        if number % 2:
            machine.apply(encode_entry(AttemptEnded(task, 1, bytes(500), None, number)))
    return machine


def test_a_machine_comes_back_from_its_snapshot() -> None:
    machine = filled()
    again = Machine.from_state(machine.state())
    assert again.rows == machine.rows
    assert (again.clock_ms, again.applied, again.counts) == (
        machine.clock_ms,
        machine.applied,
        machine.counts,
    )
    assert again.state() == machine.state()


def test_a_machine_from_a_snapshot_forgets_in_the_same_order() -> None:
    bounds = Retention(rows=3, dead_rows=3)
    machine = Machine(retention=bounds)
    failure = Failure(code="worker_died", message="gone")
    bodies = [
        encode_entry(Submitted(bytes([number]) * 16, "echo", "", b"p", 0, 9, 1, "n1")) for number in range(10)
    ]
    for number in (4, 1, 3, 9, 6, 8):
        task = bytes([number]) * 16
        dead = AttemptEnded(task, 1, None, failure, 1, Follows.DEAD)
        bodies.append(encode_entry(AttemptEnded(task, 1, b"r", None, 1) if number < 5 else dead))
    for body in bodies:
        machine.apply(body)
    again = Machine.from_state(machine.state(), retention=bounds)
    for number, ended, dead in ((2, [1, 3, 2], [9, 6, 8]), (0, [3, 2, 0], [9, 6, 8])):
        for one in (machine, again):
            one.apply(encode_entry(AttemptEnded(bytes([number]) * 16, 1, b"r", None, 2)))
            assert [row.task[0] for row in one.ended()] == ended
            assert [row.task[0] for row in one.dead_letters()] == dead
    assert [row.task[0] for row in again.live()] == [5, 7]


def test_the_size_of_a_snapshot_is_known_without_building_it() -> None:
    for rows in (0, 1, 100, 1_000):
        machine = filled(rows)
        actual = len(machine.state())
        assert actual - 200 <= machine.size_bytes * 1.02
        assert machine.size_bytes <= actual * 1.05 + 200


@pytest.mark.parametrize(
    "state", [b"", b"\x00", b"nothing", b"\xff" * 40], ids=["empty", "zero", "text", "ones"]
)
def test_bytes_that_are_no_snapshot_are_refused(state: bytes) -> None:
    with pytest.raises(ValueError, match="no snapshot"):
        Machine.from_state(state)


def test_a_torn_snapshot_is_refused() -> None:
    state = filled().state()
    for end in (1, len(state) // 2, len(state) - 1):
        with pytest.raises(ValueError, match="no snapshot"):
            Machine.from_state(state[:end])


def test_a_snapshot_of_a_later_version_is_refused_by_its_number() -> None:
    image = msgspec.msgpack.decode(filled().state())
    image[0] = 2
    with pytest.raises(ValueError, match="version 2, this code reads 1"):
        Machine.from_state(msgspec.msgpack.encode(image))


def test_the_same_log_gives_the_same_bytes_in_every_process() -> None:
    digests = set()
    for seed in ("1", "2"):
        env = {**os.environ, "PYTHONHASHSEED": seed}
        ran = subprocess.run(
            [sys.executable, "-c", FILL], env=env, capture_output=True, text=True, check=True
        )
        digests.add(ran.stdout)
    assert len(digests) == 1
    assert digests != {"\n"}
