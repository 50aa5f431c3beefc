"""Which configuration a log holds: the latest one in it counts, committed or not (dissertation, 4.1)."""

from collections.abc import Iterable

import msgpack
import msgspec

from hubless.shard.quorum import is_voter
from hubless.wire.replication import Config, Entry
from hubless_gossip.marks import sometimes

NOTHING, CHANGE, CONFIG = 0, 1, 2
"""Kinds of entries: a new owner's first, a change of what the shard keeps, a configuration."""

NOBODY = Config(())
"""The configuration of a replica that has not been told of one: it decides nothing."""

_MOST_BODY_BYTES = 1 << 16


def encode(config: Config) -> bytes:
    """Body of an entry of kind 2."""
    body: bytes = msgpack.packb(msgspec.to_builtins(config), use_bin_type=True)
    return body


def decode(body: bytes) -> Config | None:
    """What `encode` made; None if it is nothing of the kind or names no voter."""
    if len(body) > _MOST_BODY_BYTES:
        return None
    try:
        config = msgspec.convert(msgpack.unpackb(body, raw=False), type=Config)
    except (ValueError, msgpack.UnpackException):
        return None
    return config if config.voters else None


def ordered(nodes: Iterable[str]) -> tuple[str, ...]:
    """Names as a configuration wants them: ascending, each once."""
    return tuple(sorted(set(nodes)))


def towards(config: Config, voters: Iterable[str], learners: Iterable[str]) -> Config:
    """First step from `config` to the target: the target itself if no vote changes, else the joint one (4.3)."""
    new = ordered(voters)
    others = tuple(node for node in ordered(learners) if node not in new)
    return Config(new, () if new == config.voters else config.voters, others)


def left(config: Config) -> Config:
    """What follows a joint configuration."""
    return Config(config.voters, (), config.learners)


def may_leave(config: Config, config_index: int, commit: int) -> bool:
    """Whether the owner may leave the configuration: it is joint, and itself committed (4.3)."""
    return bool(config.outgoing) and config_index <= commit


class Configs:
    """Configurations of a log by index, the oldest of them that of its snapshot or before."""

    __slots__ = ("_history", "index", "latest")

    def __init__(self, index: int = 0, config: Config = NOBODY) -> None:
        self._history: list[tuple[int, Config]] = [(index, config)]
        self.index = index
        self.latest = config

    def appended(self, index: int, config: Config) -> None:
        """The log goes on with a configuration."""
        self._history.append((index, config))
        self.index, self.latest = index, config

    def truncated(self, index: int) -> None:
        """The log lost its entries from `index` on: an earlier configuration counts again (4.1)."""
        while len(self._history) > 1 and self._history[-1][0] >= index:
            sometimes("a configuration was taken back with its entry")
            self._history.pop()
        self.index, self.latest = self._history[-1]

    def at(self, index: int) -> Config:
        """The configuration that counts after the entry at `index`."""
        return next(config for at, config in reversed(self._history) if at <= index)

    def is_needed(self, node: str, commit: int) -> bool:
        """Whether the node is a voter in the latest committed configuration or one after it."""
        for index, config in reversed(self._history):
            if is_voter(config, node):
                return True
            if index <= commit:
                break
        return False

    def compacted(self, index: int) -> None:
        """Nothing before what counts at `index` will be asked for again."""
        while len(self._history) > 1 and self._history[1][0] <= index:
            del self._history[0]


def found_in(entries: Iterable[Entry]) -> list[tuple[int, Config]] | None:
    """Configurations among entries, or None if one of them cannot be read."""
    found: list[tuple[int, Config]] = []
    for entry in entries:
        if entry.kind == CONFIG:
            config = decode(entry.body)
            if config is None:
                return None
            found.append((entry.index, config))
    return found


def is_member(config: Config, node: str) -> bool:
    """Whether the node receives the log."""
    return is_voter(config, node) or node in config.learners
