"""What must hold of what whole nodes believe of one another: as they are told of it in a run, and at its end."""

from collections.abc import Iterable, Iterator, Mapping, Sequence

from hubless.view import View
from hubless_gossip import Condition
from hubless_sim.checkers.membership import Death, false_deaths, wrong_metadata, wrong_views
from hubless_sim.checkers.rings import Known, two_owners, unlike_rings
from hubless_sim.faults import Fault, Lasting
from hubless_sim.faults.concern import concerned_from_ns
from hubless_sim.mesh.host import MeshHost
from hubless_sim.names import place_of
from hubless_sim.tapes.systems import MeshSystem
from hubless_sim.verdict import Violation

MS = 1_000_000


def wrong_beliefs(hosts: Mapping[str, MeshHost], system: MeshSystem) -> Iterator[Violation]:
    """``hosts`` are the processes of the core that run, by the names of their nodes.

    What they believe of others than the core is left to them.
    """
    core = system.core
    members = {
        node: [each for each in host.gossip.members() if not core or machine_of(each.node) in core]
        for node, host in hosts.items()
    }
    yield from wrong_views(
        {node: {each.node: each.condition for each in held} for node, held in members.items()}
    )
    yield from wrong_metadata(
        {node: {each.node: each.meta for each in held} for node, held in members.items()}
    )
    yield from unlike_rings({node: host.node.view.preferences.ring.members for node, host in hosts.items()})
    yield from two_owners({node: _owners(host.node.view, system.shards) for node, host in hosts.items()})


def machine_of(node: str) -> str:
    """Where a node runs, or ran."""
    return f"n{place_of(node)}"


def _owners(view: View, shards: int) -> Known:
    return {
        shard: (view.term_of_shard(shard), owner)
        for shard in range(shards)
        if (owner := view.owner_of_shard(shard)) is not None
    }


class Health:
    """Which machines are healthy, and when: as long as no fault has concerned them, and again in the calm."""

    def __init__(self, faults: Sequence[Fault], system: MeshSystem, names: Iterable[str]) -> None:
        self._concerned_ns = {name: concerned_from_ns(faults, name) for name in names}
        self._calm_ns = (system.owned_ms or 0) * MS
        over = [fault for fault in faults if _is_over(fault, system.owned_ms or 0)]
        late = [fault for fault in faults if fault not in over]
        self._calm = frozenset(
            system.core
            or (name for name in self._concerned_ns if concerned_from_ns(late, name) == float("inf"))
        )

    def is_healthy(self, node: str, at_ns: int) -> bool:
        """Whether nothing is wrong with the machine of a node, or its links, at a time."""
        name = machine_of(node)
        return at_ns < self._concerned_ns[name] or (name in self._calm and at_ns >= self._calm_ns)


def _is_over(fault: Fault, at_ms: int) -> bool:
    """Whether a fault, and what is left of it, is over at a time."""
    end_ms = fault.until_ms if isinstance(fault, Lasting) else fault.at_ms
    return end_ms is not None and end_ms < at_ms


def told_dead(
    told: Iterable[tuple[int, str, str, str]], running: Iterable[str], health: Health
) -> Iterator[Violation]:
    """``told`` is when which machine told what of which node; ``running`` the nodes that run to the end."""
    lives = set(running)
    dead = Condition.DEAD.name.lower()
    deaths = (
        Death(at_ns, teller, node)
        for at_ns, teller, node, condition in told
        if condition == dead and node in lives
    )
    return false_deaths(deaths, health.is_healthy)
