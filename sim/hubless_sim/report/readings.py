"""What packets say, in a few words, by the codecs of the nodes that sent them; read only where they are shown."""

from collections.abc import Callable
from typing import Any, Literal, NamedTuple

from hubless.wire import FrameError, Limits, decode, messages
from hubless.wire import replication as raft
from hubless_gossip import messages as gossip
from hubless_gossip.codec import Envelope, unpack_packet, unpack_statement
from hubless_sim import sealed
from hubless_sim.packets import to_frame
from hubless_sim.tapes.systems import GossipSystem, MeshSystem, ShardSystem
from hubless_sim.tapes.tape import Tape

Family = Literal["task", "client", "vote", "log", "rumour", "view", "beat", "probe", "unreadable"]

FAMILIES: tuple[Family, ...] = (
    "task",
    "client",
    "vote",
    "log",
    "rumour",
    "view",
    "beat",
    "probe",
    "unreadable",
)
"""What a packet is about. One that says several things is of the first of these."""

ROUTINE: frozenset[Family] = frozenset({"view", "beat", "probe"})
"""What nodes say all the time, whatever happens."""

_MOST_NAMED = 4
_LIMITS = Limits()


class Reading(NamedTuple):
    """What a packet is about, and its messages in words."""

    family: Family
    text: str


UNREADABLE = Reading("unreadable", "garbled")


class Reader:
    """Reads the packets of one run. ``calls`` are the numbers of the calls that tasks belong to."""

    def __init__(self, tape: Tape, calls: dict[bytes, int]) -> None:
        self._mesh = tape.seed.to_bytes(8, "big")
        self._calls = calls
        self._read: dict[bytes, Reading] = {}
        match tape.system:
            case GossipSystem():
                self._messages: Callable[[bytes], list[Any]] = self._of_gossip
            case MeshSystem():
                self._messages = self._of_mesh
            case ShardSystem():
                self._messages = _of_shards

    def read(self, packet: bytes) -> Reading:
        """What a packet says."""
        reading = self._read.get(packet)
        if reading is None:
            said = self._messages(packet)
            reading = self._read[packet] = self._reading(said) if said else UNREADABLE
        return reading

    def task(self, task: bytes) -> str:
        """A task in few letters."""
        number = self._calls.get(task)
        return f"task {task.hex()[:4]}…{task.hex()[-4:]}" if number is None else f"call {number}"

    def _reading(self, said: list[Any]) -> Reading:
        families = {_family(message) for message in said}
        family = next(each for each in FAMILIES if each in families)
        said = sorted(said, key=lambda message: FAMILIES.index(_family(message)))
        words = list(dict.fromkeys(self._words(message) for message in said))
        more = [f"{len(words) - _MOST_NAMED} more"] if len(words) > _MOST_NAMED else []
        return Reading(family, " · ".join([*words[:_MOST_NAMED], *more]))

    def _of_gossip(self, packet: bytes) -> list[Any]:
        envelope = unpack_packet(packet, self._mesh)
        return list(envelope.messages) if isinstance(envelope, Envelope) else []

    def _of_mesh(self, packet: bytes) -> list[Any]:
        content = sealed.unseal(packet)
        return self._of_gossip(content[1:]) if content[:1] == b"\0" else _of_frame(content)

    def _words(self, message: Any) -> str:
        words = _WORDS.get(type(message))
        if words is not None:
            return words(message, self.task)
        name, task = type(message).__name__, getattr(message, "task", b"")
        return f"{name} {self.task(task)}" if task else f"{name}{_place(message)}"


def _of_frame(content: bytes) -> list[Any]:
    try:
        return list(decode(to_frame(content), _LIMITS).messages)
    except FrameError:
        return []


def _of_shards(packet: bytes) -> list[Any]:
    content = sealed.unseal(packet)
    match content[:1]:
        case sealed.ASK:
            return [sealed.to_ask(content)]
        case sealed.ANSWER:
            return [sealed.to_answer(content)]
        case _:
            return _of_frame(content)


def _place(message: Any) -> str:
    """The shard and the term that a message names, if it does."""
    shard, term = getattr(message, "shard", None), getattr(message, "term", None)
    return ("" if shard is None else f" s{shard}") + ("" if term is None else f" t{term}")


def _terms(led: Any) -> str:
    named = ", ".join(f"s{shard} t{term}" for shard, term in led[:_MOST_NAMED])
    return f"{named} and {len(led) - _MOST_NAMED} more" if len(led) > _MOST_NAMED else named


def _says(message: gossip.Says) -> str:
    claim = unpack_statement(message.blob)
    return "Says" if claim is None else f"alive {claim.node} i{claim.standing.incarnation}"


def _accuses(message: gossip.Accuses) -> str:
    standing = message.standing
    by = ",".join(standing.gone or standing.accusers)
    return f"{standing.rank.name.lower()} {message.node} i{standing.incarnation}" + (
        f" by {by}" if by else ""
    )


def _append(message: raft.Append) -> str:
    first, count = message.previous_index + 1, len(message.entries)
    reach = f" {first}–{first + count - 1}" if count > 1 else f" {first}" if count else ""
    return f"Append{_place(message)}{reach}"


def _asks(message: sealed.Ask) -> str:
    what = "read" if message.value is None else f"write {message.value} to"
    return f"#{message.number} {what} s{message.shard} r{message.key}"


def _answers(message: sealed.Answer) -> str:
    if not message.is_done:
        return f"#{message.number} elsewhere"
    return f"#{message.number} done" + ("" if message.value is None else f" {message.value}")


def _failed(message: Any) -> str:
    return "" if message.failure is None else f" {message.failure.code}"


_WORDS: dict[type, Callable[[Any, Callable[[bytes], str]], str]] = {
    gossip.Says: lambda message, _: _says(message),
    gossip.Accuses: lambda message, _: _accuses(message),
    gossip.IndirectPing: lambda message, _: f"IndirectPing {message.target}",
    gossip.RelayAnswer: lambda message, _: ("Nack", "LinkAlive", "RelayedAck")[message.outcome],
    gossip.LinkReport: lambda message, _: (
        f"link {message.reporter}→{message.target} {'degraded' if message.degraded else 'well'}"
    ),
    gossip.Entries: lambda message, _: f"Entries of {len(message.entries)}",
    gossip.JoinAnswer: lambda message, _: f"JoinAnswer of {len(message.entries)}",
    messages.Refused: lambda message, _: f"Refused {message.code}",
    messages.Assign: lambda message, task: f"Assign {task(message.task)} #{message.attempt}",
    messages.Recall: lambda message, task: f"Recall {task(message.task)} #{message.attempt}",
    messages.Ended: lambda message, task: f"Ended {task(message.task)} #{message.attempt}{_failed(message)}",
    messages.Answer: lambda message, task: f"Answer {task(message.task)}{_failed(message)}",
    messages.Settled: lambda message, task: f"Settled {task(message.task)}{_failed(message)}",
    messages.Ask: lambda message, _: f"Ask {message.what} {message.argument[:12]}".rstrip(),
    messages.Owns: lambda message, _: f"Owns {_terms(message.led)}",
    raft.Append: lambda message, _: _append(message),
    raft.Appended: lambda message, _: (
        f"Appended{_place(message)} {'refused at ' if message.refused else ''}{message.index}"
    ),
    raft.AskVote: lambda message, _: f"{'PreVote' if message.trial else 'AskVote'}{_place(message)}",
    raft.Vote: lambda message, _: (
        f"{'PreVote' if message.trial else 'Vote'} {'yes' if message.granted else 'no'}{_place(message)}"
    ),
    raft.Beat: lambda message, _: f"Beat {_terms([(each.shard, each.term) for each in message.led])}",
    raft.BeatAnswer: lambda message, _: "BeatAnswer" + (" refused" if message.refused else ""),
    sealed.Ask: lambda message, _: _asks(message),
    sealed.Answer: lambda message, _: _answers(message),
}
"""Messages that deserve more than their name, and the task, or shard and term that they are about."""

_OF: dict[Family, tuple[type, ...]] = {
    "probe": (gossip.Ping, gossip.Ack, gossip.IndirectPing, gossip.RelayAnswer),
    "rumour": (gossip.Says, gossip.Accuses, gossip.LinkReport),
    "view": (gossip.Digest, gossip.Buckets, gossip.Summaries, gossip.Entries, gossip.Join, gossip.JoinAnswer),
    "vote": (raft.AskVote, raft.Vote, raft.TimeoutNow),
    "log": (raft.Append, raft.Appended, raft.Install, raft.Installed),
    "beat": (
        raft.Beat,
        raft.BeatAnswer,
        raft.Orphaned,
        raft.Dismissed,
        messages.Whose,
        messages.OwnedBy,
        messages.Owns,
    ),
    "client": (
        messages.Hello,
        messages.Welcome,
        messages.Refused,
        messages.Submit,
        messages.Answer,
        messages.Accepted,
        messages.Cancel,
        messages.Ask,
        messages.Told,
        sealed.Ask,
        sealed.Answer,
    ),
}
_FAMILY: dict[type, Family] = {kind: family for family, kinds in _OF.items() for kind in kinds}


def _family(message: Any) -> Family:
    return _FAMILY.get(type(message), "task")
