"""A tape on real processes, from the first to the last: nodes, clients, faults at their times, then the checkers."""

import os
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, cast

import msgspec
import trio

from hubless.demo.processes import LocalMesh, LocalNode, NodeFailedError, local_mesh
from hubless_sim.faults import indices
from hubless_sim.mesh import checks
from hubless_sim.real.agents import source_of
from hubless_sim.real.cells import Cells, Ground, Loopback, MachineError
from hubless_sim.real.mapping import needs_cells, refuse_unmapped
from hubless_sim.real.sight import Sight, owners_in
from hubless_sim.real.stage import RealNode, Stage
from hubless_sim.real.switch import Switch
from hubless_sim.real.told import ClientSetting, Look, OnlookerSetting, read_note
from hubless_sim.run import Result
from hubless_sim.tapes.operations import Leave
from hubless_sim.tapes.systems import MeshSystem
from hubless_sim.tapes.tape import Tape, check
from hubless_sim.verdict import Verdict, Violation
from hubless_sim.world.network import Network
from hubless_sim.world.world import World

MS = 1_000_000
_START_S = 60.0
_SETTLED_MS = 500
_LOOK_S = 0.05
_SILENCE_S = 5.0
GRACE_S = 20.0
"""A machine of ours has other things to do than the tape: it may come to rest so much later than the tape says."""


def play(tape: Tape, *, say: Callable[[str], None] | None = None, plant: str = "") -> Result:
    """Plays a mesh tape on processes, in as much time as it says, and sums up as a simulated run does.

    Args:
        say: told in a line what is done, and when.
        plant: name of a planted bug that all nodes are to have.

    The digest is "": no two runs are alike. ``events`` are the processes that were started; messages and bytes those
    of IP, 0 on plain loopback.

    Raises:
        TapeError: something in the tape cannot be done to real processes; nothing was started.
        MachineError: this machine cannot; nothing was started.
    """
    check(tape)
    system = refuse_unmapped(tape)
    with ExitStack() as stack:
        ground = _ground(tape, say or _nobody)
        stack.callback(ground.close)
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="hubless-real-")))
        played = _Play(tape, system, ground, folder=folder, say=say or _nobody, plant=plant)
        return trio.run(played.run, restrict_keyboard_interrupt_to_checkpoints=True)


def _nobody(_text: str) -> None:
    return


def _ground(tape: Tape, say: Callable[[str], None]) -> Ground:
    count = tape.nodes + tape.clients + 1
    try:
        return Cells(count)
    except MachineError as problem:
        if needs_cells(tape):
            raise
        say(f"all on plain loopback, since {problem}")
        return Loopback(count)


async def _end_when_told() -> None:
    """SIGTERM is like Ctrl-C: what was started is ended, and its folder removed."""
    if threading.current_thread() is not threading.main_thread():
        return  # signals are heard by the main thread only
    with trio.open_signal_receiver(signal.SIGTERM) as signals:
        async for _ in signals:
            raise KeyboardInterrupt


class _Program(LocalNode):
    """A client or the onlooker, which are processes like nodes and no nodes."""

    def command(self, join: Any) -> list[str]:  # noqa: ARG002
        return [sys.executable, "-m", self.target, str(self.data)]


class _Play:
    """One run."""

    def __init__(
        self,
        tape: Tape,
        system: MeshSystem,
        ground: Ground,
        *,
        folder: Path,
        say: Callable[[str], None],
        plant: str,
    ) -> None:
        self._tape = tape
        self._system = system
        self._ground = ground
        self._folder = folder
        self._say = say
        self._lines = folder / "starts"
        self._sight = Sight(tape, system)
        self._busy: set[str] = set()
        self._mesh_id = ""
        self._epoch_ns = 0
        """When the tape began; 0 before."""
        self._latest: Look | None = None
        self._notes: list[tuple[int, Any]] = []
        self._addresses = [ground.address(index) for index in range(tape.nodes)]
        seeds = tape.start.join or tuple(f"n{index}" for index in range(tape.nodes))
        self._nodes = [self._node(index, seeds, plant) for index in range(tape.nodes)]
        self._switch: Switch | None = None
        self._network: Network | None = None

    def _node(self, index: int, seeds: tuple[str, ...], plant: str) -> RealNode:
        name, system = f"n{index}", self._system
        agents = tuple(each for each in system.agents if not each.nodes or name in each.nodes)
        target = self._folder / f"agents_{name}.py"
        target.write_text(source_of(agents, self._lines))
        data = self._folder / name
        data.mkdir()
        numbers = (
            "--workers",
            str(system.workers),
            "--shards",
            str(system.shards),
            "--queue",
            str(system.queue),
        )
        others = [each for each in indices(seeds) if each != index]
        others = others or [each for each in range(self._tape.nodes) if each != index]
        joins = tuple(self._addresses[each] for each in others)
        return RealNode(
            name,
            str(target) if agents else "",
            data,
            self._addresses[index],
            ("--profile", system.preset, *numbers),
            index=index,
            seeds=joins,
            plant=plant,
        )

    async def run(self) -> Result:
        began_ns = time.monotonic_ns()
        with self._switched():
            async with local_mesh(self._heard) as mesh:
                stage = self._stage(mesh)
                mesh.nursery.start_soon(_end_when_told)
                if self._switch is not None:
                    mesh.nursery.start_soon(self._switch.run)
                try:
                    await self._start(stage, mesh)
                    await self._until_over(stage)
                except NodeFailedError as problem:
                    return self._result(stage, began_ns, "broken", (Violation("start", str(problem)),))
                running = [node for node in self._nodes if node.is_running]
        return self._judged(stage, running)

    @contextmanager
    def _switched(self) -> Iterator[None]:
        if not isinstance(self._ground, Cells):
            yield
            return
        tape = self._tape
        self._network = Network(nodes=tape.nodes + tape.clients, seed=tape.seed, base=tape.links.to_layer())
        origin_ns = time.monotonic_ns()
        self._switch = Switch(self._ground.cells, self._network, lambda: time.monotonic_ns() - origin_ns)
        try:
            yield
        finally:
            self._switch.close()

    def _stage(self, mesh: LocalMesh) -> Stage:
        return Stage(
            self._nodes,
            clients=self._tape.clients,
            mesh=mesh,
            ground=self._ground,
            network=self._network,
            switch=self._switch,
            say=self._tell,
        )

    # Up to the tape's beginning

    async def _start(self, stage: Stage, mesh: LocalMesh) -> None:
        absent = set(indices(self._tape.start.absent))
        first, *others = [node for node in self._nodes if node.index not in absent]
        with trio.move_on_after(_START_S) as limit:
            stage.start(first.index)
            self._mesh_id = (await first.wait_ready())["mesh"]
            for node in others:
                stage.start(node.index)
            programs = self._programs(mesh)
            for process in (*others, *programs):
                await process.wait_ready()
            await self._settled()
        if limit.cancelled_caught:
            raise NodeFailedError(f"the nodes were not ready within {_START_S:g} s")
        stage.epoch_ns = self._epoch_ns = time.monotonic_ns()
        ready = self._folder / "epoch.new"
        ready.write_text(str(stage.epoch_ns))
        ready.rename(self._folder / "epoch")
        self._tell("all are ready: the tape begins")
        for fault in self._tape.faults:
            fault.impose(cast("World", stage))  # those that are mapped use of a world what a stage has, too
        for operation in self._tape.operations:
            if isinstance(operation, Leave):
                for index in indices(operation.nodes):
                    stage.at(operation.at_ms * MS, lambda index=index: stage.leave(index))  # type: ignore[misc]
        if self._system.owned_ms is not None:
            stage.at(self._system.owned_ms * MS, lambda: mesh.nursery.start_soon(self._look_for_owners))
        mesh.nursery.start_soon(stage.run)

    def _programs(self, mesh: LocalMesh) -> list[LocalNode]:
        """Starts the clients and the onlooker."""
        tape, programs = self._tape, []
        for index in range(tape.nodes, tape.nodes + tape.clients):
            setting = ClientSetting(
                tape=tape,
                node=index,
                mesh=self._mesh_id,
                addresses=tuple(self._addresses),
                epoch=str(self._folder / "epoch"),
                parent=os.getpid(),
            )
            programs.append(self._program(f"n{index}", "hubless_sim.real.client", setting))
        onlooker = OnlookerSetting(mesh=self._mesh_id, addresses=tuple(self._addresses), parent=os.getpid())
        programs.append(self._program("onlooker", "hubless_sim.real.onlooker", onlooker))
        for index, program in enumerate(programs, tape.nodes):
            with self._ground.inside(index):
                mesh.start(program)
        return programs

    def _program(self, name: str, module: str, setting: ClientSetting | OnlookerSetting) -> LocalNode:
        file = self._folder / f"{name}.json"
        file.write_bytes(msgspec.json.encode(setting))
        return _Program(name, module, file, "")

    # While it runs

    def _heard(self, node: LocalNode, event: dict[str, Any]) -> None:
        match event:
            case {"event": "note"}:
                self._notes.append(read_note(event))
            case {"event": "idle", "is_idle": is_idle}:
                (self._busy.discard if is_idle else self._busy.add)(node.name)
            case {"event": "look", "look": look}:
                self._latest = msgspec.convert(look, type=Look, strict=False)
            case {"event": "ready"}:
                self._say_of(node, "ready")
            case {"event": "stopped"}:
                self._say_of(node, "has left the mesh")
            case {"event": "log", "text": text, "level": level, "member": member}:
                if member or level in ("warning", "error"):
                    self._say_of(node, text)
            case {"event": "exit", "problem": text} if text:
                self._say_of(node, f"has ended: {text}")
            case _:
                pass

    def _say_of(self, node: LocalNode, text: str) -> None:
        self._tell(f"{node.name}: {text}")

    def _tell(self, text: str) -> None:
        """Says something, with its time once the tape has begun."""
        at_s = (time.monotonic_ns() - self._epoch_ns) / 1e9
        self._say(f"{at_s:7.3f} s  {text}" if self._epoch_ns else f"{'':11}{text}")

    async def _look_for_owners(self) -> None:
        """Every shard must have one owner from now on: it is enough that all come to have one."""
        with trio.move_on_after(GRACE_S):
            await self._settled()

    async def _settled(self) -> None:
        """Waits until every shard has one owner."""
        while unowned := await self._unowned():
            self._sight.unowned = unowned
        self._sight.unowned = {}

    async def _unowned(self) -> dict[int, tuple[str, ...]]:
        """Shards that just now do not have one owner, with who takes himself for one."""
        look = await self._look()
        owners = owners_in(look, self._system.shards)
        return {shard: names for shard, names in owners.items() if len(names) != 1}

    async def _look(self) -> Look:
        """What all nodes that run say from now on; of those that say nothing for long, nothing.

        Nodes are asked one after the other, so what moves meanwhile is seen twice or not at all.
        """
        asked_ns = time.monotonic_ns()
        for _ in range(round(_SILENCE_S / _LOOK_S)):
            await trio.sleep(_LOOK_S)
            running = {node.index for node in self._nodes if node.is_running}
            look = self._latest
            if look is not None and look.at_ns >= asked_ns and running <= look.owned.keys():
                return look
        return self._latest or Look(at_ns=asked_ns, owned={}, unfinished={})

    async def _until_over(self, stage: Stage) -> None:
        """Waits until in the calm nobody has anything left to do, or for the end of the tape and some grace."""
        tape, owned_ms = self._tape, self._system.owned_ms
        last_ms = max([owned_ms or 0, *(operation.at_ms for operation in tape.operations)])
        grace_ms = 0 if owned_ms is None else round(GRACE_S * 1000)
        while stage.now_ns < (tape.duration_ms + grace_ms) * MS:
            await trio.sleep(_LOOK_S)
            if owned_ms is None or stage.now_ns < (last_ms + _SETTLED_MS) * MS or self._busy:
                continue
            look = await self._look()
            self._sight.look = look
            owners = owners_in(look, self._system.shards)
            if not look.unfinished and not self._busy and all(len(each) == 1 for each in owners.values()):
                return
        self._sight.look = await self._look()

    # Afterwards

    def _judged(self, stage: Stage, running: list[RealNode]) -> Result:
        sight, epoch_ns = self._sight, stage.epoch_ns
        ended_ns = time.monotonic_ns()
        for at_ns, note in self._notes:
            sight.client_said(at_ns - epoch_ns, note)
        sight.read_starts(self._lines, epoch_ns, stage.boots)
        for node in running:
            sight.read_disk(node.name, node.journal)
        found = () if self._system.owned_ms is None else tuple(checks.violations(sight))
        return self._result(stage, epoch_ns, "violated" if found else "held", found, ended_ns)

    def _result(
        self,
        stage: Stage,
        began_ns: int,
        verdict: Verdict,
        violations: tuple[Violation, ...],
        ended_ns: int = 0,
    ) -> Result:
        sight, switch = self._sight, self._switch
        return Result(
            digest="",
            verdict=verdict,
            violations=violations,
            virtual_s=((ended_ns or time.monotonic_ns()) - began_ns) / 1e9,
            events=len(stage.boots),
            messages=0 if switch is None else switch.packets,
            bytes=0 if switch is None else switch.bytes,
            lost=0 if switch is None else switch.lost,
            written_bytes=sight.journal_bytes,
            found=checks.figures(sight),
        )
