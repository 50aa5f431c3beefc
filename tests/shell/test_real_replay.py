"""Tapes on real processes: what is refused, what faults do to a real network, what is left behind, and the verdicts."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import trio

from hubless_sim.cli.tapes import SCENARIOS, scenarios
from hubless_sim.faults import (
    BitRot,
    ClockJump,
    Crash,
    Isolate,
    Partition,
    Restart,
    SizeLimit,
    SlowDisk,
    Starve,
)
from hubless_sim.play import play as simulated
from hubless_sim.real import MachineError, play
from hubless_sim.real.cells import Cells
from hubless_sim.real.mapping import needs_cells, refuse_unmapped
from hubless_sim.real.switch import Switch
from hubless_sim.tapes.operations import Call
from hubless_sim.tapes.script import Script
from hubless_sim.tapes.systems import MeshSystem, Offering, ReplicaKnobs, ShardSystem
from hubless_sim.tapes.tape import Conditions, Tape, TapeError, parse, replace
from hubless_sim.world.network import Layer, Network
from hubless_sim.zoo import planted

MS = 1_000_000
PORT = 9
DEADLINE_S = 30.0
SYSTEM = MeshSystem(agents=(Offering(name="square", deadline_ms=5_000),), shards=4, workers=1, owned_ms=3_500)


def tape(*faults: Any, **changes: Any) -> Tape:
    """Two calls while the faults are in force, and one in the calm."""
    calls = tuple(
        Call(at_ms=at_ms, agent="square", script=Script(n, ms=20), gateway=f"n{n}", receipt=True)
        for n, at_ms in enumerate((700, 1_300, 3_500))
    )
    made = Tape(
        seed=1, nodes=3, clients=1, duration_ms=6_000, system=SYSTEM, operations=calls, faults=tuple(faults)
    )
    return replace(made, **changes)


def has_cells() -> bool:
    """Whether this machine makes network namespaces for us."""
    try:
        Cells(1).close()
    except MachineError:
        return False
    return True


# What is refused


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"faults": (ClockJump(at_ms=1, nodes=("n1",), by_ms=5),)}, "clock_jump at `$.faults[0]`"),
        ({"faults": (SlowDisk(at_ms=1, nodes=("n1",)),)}, "slow_disk at `$.faults[0]`"),
        ({"faults": (BitRot(at_ms=1, nodes=("n1",)),)}, "bit_rot at `$.faults[0]`"),
        (
            {"faults": (SizeLimit(at_ms=1, most_bytes=1_400),)},
            "size_limit at `$.faults[0]`: real nodes talk over TCP",
        ),
        (
            {"faults": (Starve(at_ms=1, nodes=("n1",)),)},
            "starve at `$.faults[0]`: a real process stops as a whole",
        ),
        ({"faults": (Crash(at_ms=1, nodes=("n3",)),)}, "n3 is a client"),
        ({"system": ShardSystem(), "operations": ()}, "only whole nodes run as real processes"),
        (
            {"system": MeshSystem(agents=(), replicas=ReplicaKnobs()), "operations": ()},
            "knobs, replicas and ring_ms",
        ),
        (
            {"system": MeshSystem(agents=(), preset="swim"), "operations": ()},
            "no real node has the preset 'swim'",
        ),
        ({"duration_ms": 10**7}, "10000000 ms of real time"),
    ],
)
def test_what_real_processes_cannot_play_is_refused_before_anything_starts(
    changes: dict[str, Any], reason: str
) -> None:
    told: list[str] = []
    with pytest.raises(TapeError, match=r"Play it in the simulator alone|only whole nodes") as refused:
        play(tape(**changes), say=told.append)
    assert reason in str(refused.value)
    assert told == []


@pytest.mark.parametrize("name", scenarios())
def test_every_scenario_can_be_played(name: str) -> None:
    played = parse((SCENARIOS / f"{name}.json").read_bytes())
    assert refuse_unmapped(played) is played.system


def test_cuts_and_machines_that_vanish_need_a_network_of_their_own() -> None:
    assert not needs_cells(tape(Crash(at_ms=1, nodes=("n1",)), Restart(at_ms=2, nodes=("n1",))))
    assert needs_cells(tape(Crash(at_ms=1, nodes=("n1",), silent=True)))
    assert needs_cells(tape(Isolate(at_ms=1, nodes=("n1",))))
    assert needs_cells(tape(links=Conditions(loss=0.1)))


# Runs


def test_processes_that_are_killed_and_started_again_are_held_to_the_same_as_simulated_ones() -> None:
    told: list[str] = []
    played = tape(Crash(at_ms=900, nodes=("n1",)), Restart(at_ms=1_500, nodes=("n1",)))
    result = play(played, say=told.append)
    assert (result.verdict, result.violations) == (simulated(played).verdict, ())
    assert (result.found["answers"], result.found["receipts"]) == ({"": 3}, 3)
    assert result.events == 4, "three nodes, one of them twice"
    done = [line.split(" s  ")[-1].strip() for line in told]
    assert [text for text in done if text.startswith("n1 ")] == ["n1 starts", "n1 is killed", "n1 starts"]


def test_a_cut_is_played_or_the_machine_says_what_it_lacks() -> None:
    played = tape(Partition(at_ms=600, until_ms=1_800, sides=(("n0",), ("n1", "n2"))))
    if has_cells():
        result = play(played)
        assert (result.verdict, result.violations) == ("held", ())
        assert result.lost > 0
    else:
        with pytest.raises(MachineError, match="network namespaces"):
            play(played)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_nothing_is_left_of_a_run_that_is_ended(tmp_path: Path, number: signal.Signals) -> None:
    file = tmp_path / "tape.json"
    file.write_bytes(tape(duration_ms=60_000).to_json())
    folder = tmp_path / "made"
    folder.mkdir()
    process = subprocess.Popen(
        [sys.executable, "-m", "hubless.cli", "sim", "run", "--real", str(file)],
        env=os.environ | {"TMPDIR": str(folder)},
        stderr=subprocess.PIPE,
        text=True,
    )
    for line in process.stderr or ():
        if "the tape begins" in line:
            break
    assert len(processes_of(folder)) >= 3
    process.send_signal(number)
    process.communicate(timeout=DEADLINE_S)
    ends_s = time.monotonic() + DEADLINE_S
    while processes_of(folder):
        assert time.monotonic() < ends_s, f"still there: {processes_of(folder)}"
    assert list(folder.iterdir()) == [] or number is signal.SIGKILL, "nobody can tidy up after that"


def processes_of(folder: Path) -> list[int]:
    """The processes whose command line names something in a folder."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with suppress(OSError):
                if str(folder) in (entry / "cmdline").read_text():
                    found.append(int(entry.name))
    return found


@pytest.mark.long
@pytest.mark.parametrize("name", scenarios())
def test_scenarios_have_the_same_verdict_on_real_processes(name: str) -> None:
    result = play(parse((SCENARIOS / f"{name}.json").read_bytes()))
    assert (result.verdict, result.violations) == ("held", ())


@pytest.mark.long
@pytest.mark.parametrize(
    ("name", "plant", "checker"),
    [
        ("resubmission", "starts-a-task-anew-when-it-comes-again", "attempts"),
        ("cancellation", "swears-that-a-cancelled-task-had-no-effect", "right answers"),
    ],
)
def test_a_planted_bug_is_found_in_both(name: str, plant: str, checker: str) -> None:
    played = parse((SCENARIOS / f"{name}.json").read_bytes())
    with planted(plant):
        results = [simulated(played)]
    results.append(play(played, plant=plant))
    for result in results:
        assert result.verdict == "violated"
        assert checker in {violation.checker for violation in result.violations}


# The network between cells


class Ends:
    """A datagram socket in each of two cells, and the switch between them."""

    def __init__(self, cells: Cells) -> None:
        self.network = Network(nodes=2, seed=1)
        self.switch = Switch(cells.cells, self.network, time.monotonic_ns)
        self._sockets = []
        for cell in cells.cells[:2]:
            with cell.inside():  # a socket stays in the namespace that it was made in
                end = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
                end.bind((cell.address, PORT))
            self._sockets.append(trio.socket.from_stdlib_socket(end))
        self._addresses = [cell.address for cell in cells.cells]

    async def send(self, source: int, text: str) -> None:
        await self._sockets[source].sendto(text.encode(), (self._addresses[1 - source], PORT))

    async def hear(self, target: int) -> str:
        with trio.fail_after(DEADLINE_S):
            return (await self._sockets[target].recv(2048)).decode()

    async def carried(self, count: int) -> None:
        """Waits until the switch has had so many packets in hand."""
        with trio.fail_after(DEADLINE_S):
            while self.switch.packets < count:
                await trio.sleep(0.001)

    def close(self) -> None:
        self.switch.close()
        for end in self._sockets:
            end.close()


@pytest.fixture
async def ends(nursery: trio.Nursery) -> AsyncIterator[Ends]:
    cells = Cells(3)
    made = Ends(cells)
    nursery.start_soon(made.switch.run)
    yield made
    nursery.cancel_scope.cancel()
    made.close()
    cells.close()


@pytest.mark.long
async def test_a_cut_stops_one_direction_until_it_is_lifted(ends: Ends) -> None:
    cut = Layer(sources=frozenset({0}), cut=True)
    ends.network.add(cut)
    await ends.send(0, "lost")
    await ends.send(1, "back")
    assert await ends.hear(0) == "back"
    await ends.carried(2)
    ends.network.remove(cut)
    await ends.send(0, "there")
    assert await ends.hear(1) == "there"
    assert ends.switch.lost == 1


@pytest.mark.long
async def test_packets_are_lost_and_doubled_as_the_simulator_has_it(ends: Ends) -> None:
    layer = Layer(loss=0.3, duplicate=0.3)
    ends.network.add(layer)
    twin = Network(nodes=2, seed=1)
    twin.add(layer)
    copies = [len(twin.route(0, 1)) for _ in range(100)]
    assert {0, 1, 2} == set(copies)
    for number in range(100):
        await ends.send(0, str(number))
    await ends.carried(100)
    ends.network.remove(layer)
    await ends.send(0, "end")
    heard = []
    while (text := await ends.hear(1)) != "end":
        heard.append(int(text))
    assert heard == [number for number, count in enumerate(copies) for _ in range(count)]


@pytest.mark.long
async def test_late_packets_stay_in_order_and_a_narrow_link_drops_what_would_wait_for_long(
    ends: Ends,
) -> None:
    slow = Layer(base_ns=20 * MS, jitter_ns=20 * MS)
    ends.network.add(slow)
    for number in range(20):
        await ends.send(0, str(number))
    assert [await ends.hear(1) for _ in range(20)] == [str(number) for number in range(20)]
    ends.network.remove(slow)
    ends.network.add(Layer(bytes_per_s=1_000))
    for _ in range(4):
        await ends.send(1, "x" * 400)
    assert [len(await ends.hear(0)) for _ in range(2)] == [400, 400]
    assert ends.switch.lost == 2


@pytest.mark.long
async def test_garbled_packets_reach_nobody(ends: Ends) -> None:
    garbled = Layer(corrupt=1.0)
    ends.network.add(garbled)
    await ends.send(0, "a text that is long enough to be hit somewhere")
    await ends.carried(1)
    ends.network.remove(garbled)
    await ends.send(0, "whole")
    assert await ends.hear(1) == "whole"


@pytest.mark.long
async def test_a_machine_without_power_sends_and_hears_nothing(ends: Ends) -> None:
    ends.switch.go_dark(1)
    await ends.send(0, "unheard")
    await ends.send(1, "unsaid")
    await ends.carried(2)
    ends.switch.renew(0)  # it had power all the time
    await ends.send(0, "unheard too")
    await ends.carried(3)
    assert ends.switch.lost == 3


@pytest.mark.long
async def test_a_machine_that_has_power_again_is_another_one_at_the_same_address(
    nursery: trio.Nursery,
) -> None:
    cells = Cells(3)
    first = Ends(cells)
    first.switch.go_dark(1)
    first.switch.renew(1)
    first.close()
    second = Ends(cells)
    nursery.start_soon(second.switch.run)
    await second.send(0, "hello")
    assert await second.hear(1) == "hello"
    nursery.cancel_scope.cancel()
    second.close()
    cells.close()
