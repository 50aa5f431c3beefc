"""A client of a tape as a process: ``python -m hubless_sim.real.client SETTING``.

It runs the very client that the simulator has, over sockets. Prints JSON lines: events "ready", "note" (what it notes,
as the simulator hears it) and "idle" (whether no call waits).
"""

import sys
import time
from pathlib import Path
from typing import Any

import msgspec

from hubless_agents.process import die_with_parent
from hubless_sim.mesh.client import MS, MeshClient
from hubless_sim.mesh.run import client_of
from hubless_sim.packets import BACK, to_frame, to_packet
from hubless_sim.real.connections import Connections
from hubless_sim.real.told import ClientSetting
from hubless_sim.sealed import seal, unseal
from hubless_sim.tapes.systems import MeshSystem
from hubless_sim.tapes.tape import Monitored
from hubless_sim.world.chance import stream
from hubless_sim.world.hosts import Birth, Command, Delivered, Due, HostEvent, LinkDown, LinkUp, Note, Send

_LONGEST_WAIT_MS = 200
_EPOCH_PAUSE_S = 0.005


class _Process:
    """The shell of one client."""

    def __init__(self, setting: ClientSetting, client: MeshClient, epoch_ns: int) -> None:
        heartbeat = setting.tape.links.monitored or Monitored()
        self._connections = Connections(setting.addresses, heartbeat)
        self._client = client
        self._epoch_ns = epoch_ns
        self._was_idle = True

    def run(self) -> None:
        self._hand(Command(None))
        while True:
            due_ns = self._client.next_deadline_ns()
            wait_ms = _LONGEST_WAIT_MS
            if due_ns is not None:
                wait_ms = min(wait_ms, max(0, -((self._now_ns() - due_ns) // MS)))
            for place, seen in self._connections.wait(wait_ms):
                if isinstance(seen, list):
                    if len(seen) == 2:
                        self._hand(Delivered(seal(to_packet(BACK, seen)), place))
                else:
                    self._hand(LinkUp(place, 0) if seen else LinkDown(place, 0))
            due_ns = self._client.next_deadline_ns()
            if due_ns is not None and due_ns <= self._now_ns():
                self._hand(Due())

    def _now_ns(self) -> int:
        return time.monotonic_ns() - self._epoch_ns

    def _hand(self, event: HostEvent) -> None:
        for effect in self._client.handle(self._now_ns(), event):
            match effect:
                case Send(target=target, packet=packet):
                    self._connections.send(target, to_frame(unseal(packet)))
                case Note(value=value):
                    _say(event="note", at_ns=time.monotonic_ns(), kind=type(value).__name__, note=value)
                case _:
                    pass  # it watches all nodes, which its connections do anyway
        if self._client.is_idle is not self._was_idle:
            self._was_idle = self._client.is_idle
            _say(event="idle", is_idle=self._was_idle)


def _say(**fields: Any) -> None:
    sys.stdout.buffer.write(msgspec.json.encode(fields) + b"\n")
    sys.stdout.buffer.flush()


def main() -> None:
    """Runs until its parent ends."""
    setting = msgspec.json.decode(Path(sys.argv[1]).read_bytes(), type=ClientSetting)
    die_with_parent(setting.parent)
    tape = setting.tape
    if not isinstance(tape.system, MeshSystem):
        raise TypeError(f"a client has no use for {tape.system!r}")
    seed = stream(tape.seed, setting.node)
    birth = Birth(node=setting.node, name=f"n{setting.node}", boot=1, now_ns=0, kept=b"", seed=seed)
    client = client_of(tape, tape.system, birth, bytes.fromhex(setting.mesh))
    _say(event="ready")
    epoch = Path(setting.epoch)
    while not epoch.exists():
        time.sleep(_EPOCH_PAUSE_S)
    _Process(setting, client, int(epoch.read_text())).run()


if __name__ == "__main__":
    main()
