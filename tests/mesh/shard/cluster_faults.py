"""What a seed does to a cluster: which faults there are at all, how often, and what is asked of it meanwhile."""

import random
from collections.abc import Callable

from cluster import ELECTION_NS, MS, Cluster

from hubless.shard.quorum import members
from hubless.shard.raft import Raft, RaftSettings

Action = Callable[[Cluster, random.Random], None]


def run_seed(
    seed: object,
    *,
    raft: Callable[..., Raft] = Raft,
    steps: int = 300,
    only: tuple[str, ...] = (),
    nodes: int = 0,
    prepare: Callable[[Cluster], None] = lambda cluster: None,
) -> Cluster:
    """A life of a cluster. Raises Violation if it breaks a promise. `only` names the faults if they are not drawn."""
    rng = random.Random(f"faults:{seed}")
    cluster = Cluster(
        seed,
        nodes=nodes or rng.choice([3, 4, 5, 5, 6]),
        voters=nodes or rng.choice([1, 3, 3, 3]),
        raft=raft,
        settings=drawn_settings(rng),
    )
    prepare(cluster)
    kinds = only or tuple(name for name in FAULTS if rng.random() < 0.6)
    table = [FAULTS[name] for name in kinds] + [propose] * 6 + [read, campaign, restart]
    for _ in range(steps):
        rng.choice(table)(cluster, rng)
        cluster.run(rng.choice([MS, 5 * MS, 20 * MS, 100 * MS, ELECTION_NS]))
    cluster.heal()
    cluster.demand_life()
    return cluster


def drawn_settings(rng: random.Random) -> RaftSettings:
    """Limits that are hit often: small ones on purpose."""
    return RaftSettings(
        election_ns=ELECTION_NS,
        resend_ns=rng.choice([15, 40, 100]) * MS,
        most_append_entries=rng.choice([1, 2, 512]),
        most_append_bytes=rng.choice([40, 1 << 18]),
        window=rng.choice([1, 2, 16]),
        chunk_bytes=rng.choice([3, 20, 1 << 18]),
        most_uncommitted_bytes=rng.choice([200, 1 << 20]),
        keep_entries=rng.choice([0, 2, 512]),
    )


def propose(cluster: Cluster, rng: random.Random) -> None:
    for owner in cluster.owners():
        for _ in range(rng.randint(1, 4)):
            cluster.propose(owner.me, b"%d" % rng.getrandbits(32))


def read(cluster: Cluster, rng: random.Random) -> None:
    for owner in cluster.owners():
        cluster.read(owner.me)
    cluster.read(rng.choice(cluster.names))


def campaign(cluster: Cluster, rng: random.Random) -> None:
    cluster.on(rng.choice(cluster.names), lambda raft: raft.campaign(cluster.now_ns))


def restart(cluster: Cluster, rng: random.Random) -> None:
    cluster.start(rng.choice(cluster.names))


def crash(cluster: Cluster, rng: random.Random) -> None:
    cluster.crash(rng.choice(cluster.names))


def crash_owner(cluster: Cluster, rng: random.Random) -> None:
    for owner in cluster.owners():
        cluster.crash(owner.me)
    if rng.random() < 0.5:
        cluster.on(rng.choice(cluster.names), lambda raft: raft.campaign(cluster.now_ns))


def power_cut(cluster: Cluster, rng: random.Random) -> None:
    for name in cluster.names:
        cluster.crash(name)
    for name in cluster.names:
        if rng.random() < 0.8:
            cluster.start(name)


def pause(cluster: Cluster, rng: random.Random) -> None:
    cluster.pause(rng.choice(cluster.names), rng.randint(MS, 4 * ELECTION_NS))


def doubt(cluster: Cluster, rng: random.Random) -> None:
    """Membership opinions: of one node, and not what the others think."""
    name = rng.choice(cluster.names)
    cluster.hosts[name].view = tuple(sorted(rng.sample(cluster.names, rng.randint(1, len(cluster.names)))))
    is_doubted = rng.random() < 0.7
    cluster.on(name, lambda raft: raft.doubt_owner(cluster.now_ns, is_doubted))
    if is_doubted:
        cluster.on(name, lambda raft: raft.campaign(cluster.now_ns))


def rivals(cluster: Cluster, rng: random.Random) -> None:
    """Everybody doubts the owner, two campaign at once, and a third restarts while they are at it."""
    one, other, third = rng.sample(cluster.names, 3)
    for name in cluster.names:
        cluster.on(name, lambda raft: raft.doubt_owner(cluster.now_ns, True))
    for name in (one, other):
        cluster.on(name, lambda raft: raft.campaign(cluster.now_ns))
    cluster.run(rng.randint(4, 40) * MS)
    cluster.crash(third)
    cluster.start(third)


def cut_symmetric(cluster: Cluster, rng: random.Random) -> None:
    side = set(rng.sample(cluster.names, rng.randint(1, len(cluster.names) - 1)))
    cluster.cuts |= {(a, b) for a in cluster.names for b in cluster.names if (a in side) != (b in side)}


def cut_one_way(cluster: Cluster, rng: random.Random) -> None:
    for _ in range(rng.randint(1, 3)):
        a, b = rng.sample(cluster.names, 2)
        cluster.cuts.add((a, b))


def cut_bridge(cluster: Cluster, rng: random.Random) -> None:
    """Two sides that see only one common node."""
    names = rng.sample(cluster.names, len(cluster.names))
    half = len(names) // 2
    left, right = names[:half], names[half + 1 :]
    cluster.cuts |= {pair for a in left for b in right for pair in ((a, b), (b, a))}


def mend(cluster: Cluster, rng: random.Random) -> None:
    cluster.cuts.clear()


def bad_network(cluster: Cluster, rng: random.Random) -> None:
    cluster.loss = rng.choice([0.0, 0.02, 0.2])
    cluster.duplication = rng.choice([0.0, 0.3])
    cluster.delay_ns = (MS, rng.choice([3, 30, 200]) * MS)


def slow_disk(cluster: Cluster, rng: random.Random) -> None:
    cluster.hosts[rng.choice(cluster.names)].flush_ns = (0, rng.choice([1, 20, 200, 600]) * MS)


def change(cluster: Cluster, rng: random.Random) -> None:
    """Any owner is asked for any configuration; most often for one that it can have."""
    for owner in cluster.owners():
        config = owner.config
        fit = [*config.voters, *(node for node in config.learners if owner.progress(node).is_caught_up)]
        pool = fit if rng.random() < 0.9 else cluster.names
        voters = rng.sample(pool, rng.randint(1, min(5, len(pool))))
        rest = [name for name in cluster.names if name not in voters]
        learners = rng.sample(rest, rng.randint(0, len(rest)))
        if rng.random() < 0.4:
            voters = list(config.voters)
        cluster.on(owner.me, _change_to(cluster, tuple(voters), tuple(learners)))


def _change_to(
    cluster: Cluster, voters: tuple[str, ...], learners: tuple[str, ...]
) -> Callable[[Raft], None]:
    def event(raft: Raft) -> None:
        raft.change(cluster.now_ns, voters, learners)

    return event


def forget(cluster: Cluster, rng: random.Random) -> None:
    cluster.forget(rng.choice(cluster.names))


def transfer(cluster: Cluster, rng: random.Random) -> None:
    for owner in cluster.owners():
        to = rng.choice(members(owner.config) or cluster.names)
        cluster.on(owner.me, lambda raft, to=to: raft.transfer(cluster.now_ns, to) and None)


def compact(cluster: Cluster, rng: random.Random) -> None:
    for name in cluster.names:
        if rng.random() < 0.5:
            cluster.compact(name)


FAULTS: dict[str, Action] = {
    action.__name__: action
    for action in (
        crash,
        crash_owner,
        power_cut,
        pause,
        doubt,
        rivals,
        cut_symmetric,
        cut_one_way,
        cut_bridge,
        mend,
        bad_network,
        slow_disk,
        change,
        forget,
        transfer,
        compact,
    )
}
