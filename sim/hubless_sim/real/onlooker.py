"""Asks all nodes again and again what they own and what they have under way: ``python -m hubless_sim.real.onlooker
SETTING``.

Prints JSON lines: "ready", then one "look" whenever all nodes that could answer have.
"""

import sys
import time
from pathlib import Path
from typing import Any

import msgspec

from hubless.wire import Ask, FrameError, Hello, Limits, Told, Welcome, decode, encode
from hubless_agents.process import die_with_parent
from hubless_sim.real.connections import Connections
from hubless_sim.real.told import Look, OnlookerSetting
from hubless_sim.tapes.tape import Monitored

_PAUSE_MS = 200
_PATIENCE_MS = 1_000


class _Node(msgspec.Struct):
    counters: dict[str, Any]


class _Process:
    def __init__(self, setting: OnlookerSetting) -> None:
        self._connections = Connections(setting.addresses, Monitored())
        self._mesh = bytes.fromhex(setting.mesh)
        self._up: set[int] = set()
        self._request = 0

    def run(self) -> None:
        while True:
            began_ns = time.monotonic_ns()
            look = self._look(began_ns)
            sys.stdout.buffer.write(
                msgspec.json.encode({"event": "look", "look": msgspec.to_builtins(look, str_keys=True)})
                + b"\n"
            )
            sys.stdout.buffer.flush()
            rest_ms = _PAUSE_MS - (time.monotonic_ns() - began_ns) // 1_000_000
            while rest_ms > 0:
                self._take(rest_ms)
                rest_ms = _PAUSE_MS - (time.monotonic_ns() - began_ns) // 1_000_000

    def _look(self, began_ns: int) -> Look:
        self._request += 1
        question = encode(self._mesh, "", 0, [Hello("client", self._request), Ask(self._request, "node")])
        asked = set(self._up)
        for place in sorted(asked):
            self._connections.send(place, question)
        self._owned: dict[int, tuple[int, ...]] = {}
        self._unfinished: dict[int, dict[str, int]] = {}
        while asked & self._up - (self._owned.keys() & self._unfinished.keys()):
            rest_ms = _PATIENCE_MS - (time.monotonic_ns() - began_ns) // 1_000_000
            if rest_ms <= 0:
                break
            self._take(rest_ms)
        under_way = {place: each for place, each in self._unfinished.items() if any(each.values())}
        return Look(at_ns=began_ns, owned=self._owned, unfinished=under_way)

    def _take(self, most_ms: int) -> None:
        for place, seen in self._connections.wait(most_ms):
            if not isinstance(seen, list):
                (self._up.add if seen else self._up.discard)(place)
                continue
            try:
                envelope = decode(seen, Limits())
            except FrameError:
                continue
            for message in envelope.messages:
                match message:
                    case Welcome(request=request, owned=owned) if request == self._request:
                        self._owned[place] = owned
                    case Told(request=request, body=body, failure=None) if request == self._request:
                        counted = msgspec.json.decode(body, type=_Node).counters
                        self._unfinished[place] = counted["unfinished"]
                    case _:
                        pass


def main() -> None:
    """Runs until its parent ends."""
    setting = msgspec.json.decode(Path(sys.argv[1]).read_bytes(), type=OnlookerSetting)
    die_with_parent(setting.parent)
    sys.stdout.write('{"event": "ready"}\n')
    sys.stdout.flush()
    _Process(setting).run()


if __name__ == "__main__":
    main()
