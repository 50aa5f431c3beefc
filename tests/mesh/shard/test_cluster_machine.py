"""The cluster in Hypothesis' hands: it chooses what happens, and shrinks what breaks a promise."""

import cluster_faults
from cluster import ELECTION_NS, MS, Cluster
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule

NODES = 4
names = st.sampled_from([f"n{number}" for number in range(NODES)])


class ClusterMachine(RuleBasedStateMachine):
    """Rules are events; the cluster checks all promises after each, and that it comes back to life at the end."""

    @initialize(seed=st.integers(0, 1 << 16), voters=st.sampled_from([1, 3]))
    def found(self, seed: int, voters: int) -> None:
        self.cluster = Cluster(seed, nodes=NODES, voters=voters)
        self.cluster.run(2 * ELECTION_NS)

    @rule(duration_ms=st.sampled_from([1, 3, 10, 100, 500]))
    def pass_time(self, duration_ms: int) -> None:
        self.cluster.run(duration_ms * MS)

    @rule(name=names)
    def crash(self, name: str) -> None:
        self.cluster.crash(name)

    @rule(name=names)
    def start(self, name: str) -> None:
        self.cluster.start(name)

    @rule(name=names, duration_ms=st.sampled_from([5, 200, 1000]))
    def pause(self, name: str, duration_ms: int) -> None:
        self.cluster.pause(name, duration_ms * MS)

    @rule(name=names)
    def campaign(self, name: str) -> None:
        self.cluster.on(name, lambda raft: raft.campaign(self.cluster.now_ns))

    @rule(name=names, is_doubted=st.booleans())
    def doubt(self, name: str, is_doubted: bool) -> None:
        self.cluster.on(name, lambda raft: raft.doubt_owner(self.cluster.now_ns, is_doubted))

    @rule(one=names, other=names)
    def cut(self, one: str, other: str) -> None:
        self.cluster.cuts.add((one, other))

    @rule()
    def mend(self) -> None:
        self.cluster.cuts.clear()

    @rule(loss=st.sampled_from([0.0, 0.3]), duplication=st.sampled_from([0.0, 0.5]))
    def degrade(self, loss: float, duplication: float) -> None:
        self.cluster.loss, self.cluster.duplication = loss, duplication

    @rule(name=names, flush_ms=st.sampled_from([0, 30, 300]))
    def slow_disk(self, name: str, flush_ms: int) -> None:
        self.cluster.hosts[name].flush_ns = (0, flush_ms * MS)

    @rule(chance=st.randoms(use_true_random=False))
    def ask(self, chance: object) -> None:
        cluster_faults.propose(self.cluster, chance)
        cluster_faults.read(self.cluster, chance)

    @rule(chance=st.randoms(use_true_random=False))
    def change(self, chance: object) -> None:
        cluster_faults.change(self.cluster, chance)

    @rule(name=names)
    def transfer(self, name: str) -> None:
        for owner in self.cluster.owners():
            self.cluster.on(owner.me, lambda raft: raft.transfer(self.cluster.now_ns, name) and None)

    @rule(name=names)
    def compact(self, name: str) -> None:
        self.cluster.compact(name)

    @rule(name=names)
    def forget(self, name: str) -> None:
        self.cluster.forget(name)

    def teardown(self) -> None:
        if hasattr(self, "cluster"):
            self.cluster.heal()
            self.cluster.demand_life()


TestClusterMachine = ClusterMachine.TestCase
TestClusterMachine.settings = settings(max_examples=60, stateful_step_count=50, deadline=None)
