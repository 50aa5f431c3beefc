"""Lying peers: what a node says is altered on its way out, by the codecs that nodes read it with.

Nothing is signed yet, so a liar is believed as far as what it says could be true.  What the mesh promises against each
lie is told with it; where it promises nothing, a checker must name the harm.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import msgspec

from hubless.wire import Answer, Ended, Settled
from hubless.wire.replication import Vote
from hubless_gossip import messages as gossip
from hubless_gossip.claims import Rank, Standing, Statement
from hubless_gossip.codec import pack_statement, unpack_statement
from hubless_sim.faults.base import MS, Lasting, all_of, indices
from hubless_sim.packets import Opened, closed, opened
from hubless_sim.world.world import World

Forging = Callable[[Opened], Sequence[Any] | None]
"""The messages that a packet has instead of its own; None: it stays as it is."""


class _Lie(Lasting, frozen=True, kw_only=True):
    """Of the packets of the ``nodes``, which run honestly otherwise."""

    nodes: tuple[str, ...]

    def begin(self, world: World) -> Callable[[], None]:
        """Begin to lie, knowing nothing of what was said before."""
        liars = [_Liar(self.forger(), is_lying=True) for _ in self.nodes]
        pairs = zip(indices(self.nodes), liars, strict=True)
        return all_of([world.tamper(index, liar.tamper) for index, liar in pairs])

    def impose(self, world: World) -> None:
        """The liars listen from the beginning."""
        for index in indices(self.nodes):
            liar = _Liar(self.forger(), is_lying=False)
            end = world.tamper(index, liar.tamper)
            world.at(self.at_ms * MS, liar.begin)
            if self.until_ms is not None:
                world.at(self.until_ms * MS, end)

    def forger(self) -> Forging:
        """What forges the packets of one node."""
        raise TypeError(f"{type(self).__name__} forges nothing")


class _Liar:
    """What one node says goes through here."""

    def __init__(self, forge: Forging, *, is_lying: bool) -> None:
        self._forge = forge
        self._is_lying = is_lying

    def begin(self) -> None:
        """From now on it lies."""
        self._is_lying = True

    def tamper(self, _target: int, packet: bytes) -> bytes:
        """A packet as it leaves."""
        read = opened(packet)
        forged = None if read is None else self._forge(read)
        if read is None or forged is None or not self._is_lying:
            return packet
        return closed(read, forged)


class ForgedIncarnations(_Lie, frozen=True, tag="forged_incarnations", tag_field="kind"):
    """The nodes have the victims say what they never said: other metadata, in an incarnation ``by`` above their last.

    A victim that hears of it refutes it with a higher one, and is believed by all in the end.
    """

    victims: tuple[str, ...]
    by: int = 1

    def forger(self) -> Forging:
        """Each packet of gossip says it of each victim of which the node has said something itself."""
        known = _Known(self.victims)

        def forge(packet: Opened) -> Sequence[Any] | None:
            known.hear(packet.messages)
            said = [
                gossip.Says(
                    pack_statement(
                        Statement(each.node, each.boot, each.incarnation + self.by, each.address, b"forged")
                    )
                )
                for each in known.statements()
            ]
            return [*packet.messages, *said] if said and not packet.is_frame else None

        return forge


class ForgedAccusations(_Lie, frozen=True, tag="forged_accusations", tag_field="kind"):
    """The nodes accuse the victims of being silent, again and again; with ``deaths`` they say that these are dead, too.

    In a mesh of four or more one accuser has nobody declared dead.  ``accusers`` are those in whose names it is done
    (none named: the liar's own).  Nothing is promised against more than one name: until accusations are signed, a liar
    can be several.
    """

    victims: tuple[str, ...]
    accusers: tuple[str, ...] = ()
    deaths: bool = False

    def forger(self) -> Forging:
        """Each packet of gossip accuses each victim of which the node has said something itself."""
        known = _Known(self.victims)
        ranks = (Rank.SUSPECT, Rank.DEAD) if self.deaths else (Rank.SUSPECT,)

        def forge(packet: Opened) -> Sequence[Any] | None:
            known.hear(packet.messages)
            accusers = tuple(sorted(self.accusers)) or (packet.sender,)
            said = [
                gossip.Accuses(each.node, Standing(each.boot, each.incarnation, 0, rank, accusers))
                for each in known.statements()
                for rank in ranks
            ]
            return [*packet.messages, *said] if said and not packet.is_frame else None

        return forge


class ForgedResults(_Lie, frozen=True, tag="forged_results", tag_field="kind"):
    """The nodes tell other results than tasks have had: as executors, as owners and as gateways.

    Nothing is promised against it: who runs a task is believed.
    """

    def forger(self) -> Forging:
        """Each success has another payload."""

        def forge(packet: Opened) -> Sequence[Any] | None:
            told = [_with_other_payload(message) for message in packet.messages]
            return told if told != packet.messages else None

        return forge


class ForgedVotes(_Lie, frozen=True, tag="forged_votes", tag_field="kind"):
    """The nodes vote for every candidate, whomever they have voted for before and whatever its log lacks.

    Nothing is promised against it: Raft takes its voters' word.
    """

    def forger(self) -> Forging:
        """Each refused vote is granted."""

        def forge(packet: Opened) -> Sequence[Any] | None:
            told = [_granted(message) for message in packet.messages]
            return told if told != packet.messages else None

        return forge


class _Known:
    """What a liar knows of its victims: what it has passed on of them itself, the newest of each."""

    def __init__(self, victims: Iterable[str]) -> None:
        self._victims = frozenset(victims)
        self._newest: dict[str, Statement] = {}

    def hear(self, messages: Iterable[Any]) -> None:
        """Learn from what is being said."""
        for blob in _blobs(messages):
            claim = unpack_statement(blob)
            said = None if claim is None else claim.statement
            if said is None or said.node not in self._victims:
                continue
            known = self._newest.get(said.node)
            if known is None or (known.boot, known.incarnation) < (said.boot, said.incarnation):
                self._newest[said.node] = said

    def statements(self) -> list[Statement]:
        """The newest statement of each victim, in the order of their names."""
        return [self._newest[node] for node in sorted(self._newest)]


def _blobs(messages: Iterable[Any]) -> Iterator[bytes]:
    for message in messages:
        match message:
            case gossip.Says(blob=blob):
                yield blob
            case gossip.Entries(entries=entries) | gossip.JoinAnswer(entries=entries):
                yield from (entry.blob for entry in entries)
            case _:
                pass


def _granted(message: Any) -> Any:
    """A vote that is given; one for a trial is of the next term, as the candidate most likely asked for that."""
    if not isinstance(message, Vote) or message.granted:
        return message
    return Vote(message.shard, message.term + message.trial, True, message.trial)


def _with_other_payload(message: Any) -> Any:
    if isinstance(message, Ended | Settled | Answer) and message.payload is not None:
        return msgspec.structs.replace(message, payload=_other(message.payload))
    return message


def _other(payload: bytes) -> bytes:
    """A result of the same shape in which numbers are one more; null for what has no numbers."""
    plain = msgspec.json.decode(payload)
    if isinstance(plain, dict) and any(type(value) is int for value in plain.values()):
        plain = {key: value + 1 if type(value) is int else value for key, value in plain.items()}
        return msgspec.json.encode(plain)
    return msgspec.json.encode(plain + 1 if type(plain) is int else None)
