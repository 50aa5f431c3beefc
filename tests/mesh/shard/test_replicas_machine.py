"""Replicas of a small mesh against chance: whatever happens, no two owners of a term, no two entries of an index, and
in the end everything that was acknowledged. The oracle is in `nodes`: what was acknowledged, and what every index held.
"""

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule
from nodes import MS, SECOND, Mesh

from hubless.shard.output import RaftSettings
from hubless.shard.settings import ReplicasSettings

SMALL = ReplicasSettings(
    beat_ns=100 * MS,
    stagger_ns=50 * MS,
    enquire_ns=2 * SECOND,
    compact_bytes=600,
    raft=RaftSettings(resend_ns=200 * MS, keep_entries=2, most_append_entries=4, window=2, chunk_bytes=300),
)
SHARDS = 4
FIRST = ("n0", "n1", "n2", "n3")


class Story(RuleBasedStateMachine):
    """At most one node is down, failed or damaged at a time, so that everything can be had back at the end."""

    @initialize(seed=st.integers(0, 2**16))
    def begin(self, seed):
        self.mesh = Mesh(4, shards=SHARDS, seed=seed, settings=SMALL, news_ns=100 * MS)
        self.mesh.run_until_as_wished()
        self.sick = ""
        self.joined = 0
        self.left = 0

    @rule(shards=st.lists(st.integers(0, SHARDS - 1), max_size=12), every_ms=st.integers(0, 30))
    def work(self, shards, every_ms):
        for shard in shards:
            self.mesh.propose(shard, size=40)
            self.mesh.run(every_ms * MS)

    @rule(ms=st.integers(1, 3_000))
    def wait(self, ms):
        self.mesh.run(ms * MS)

    @rule(loss=st.sampled_from([0.0, 0.1, 0.4]), slow=st.sampled_from([1, 30, 300]))
    def weather(self, loss, slow):
        self.mesh.loss = loss
        self.mesh.latency_ns = (MS // 2, slow * MS)

    @rule(node=st.sampled_from(FIRST), slow=st.sampled_from([1, 20, 400]))
    def disk(self, node, slow):
        self.mesh.hosts[node].flush_ns = slow * MS

    @rule(side=st.sets(st.sampled_from(FIRST), min_size=1, max_size=2), is_one_way=st.booleans())
    def cut(self, side, is_one_way):
        others = set(self.mesh.hosts) - side
        self.mesh.cut = {(a, b) for a in side for b in others}
        if not is_one_way:
            self.mesh.cut |= {(b, a) for a in side for b in others}

    @rule()
    def heal(self):
        self.mesh.cut.clear()

    @rule(node=st.sampled_from(FIRST), condition=st.sampled_from(["well", "doubtful", "gone"]))
    def gossip_errs(self, node, condition):
        if node != self.sick and self.mesh.hosts[node].replicas is not None:
            self.mesh.set_condition(node, condition)

    @precondition(lambda self: not self.sick)
    @rule(node=st.sampled_from(FIRST), is_known=st.booleans())
    def crash(self, node, is_known):
        if self.mesh.hosts[node].replicas is None:
            return
        self.sick = node
        if is_known:
            self.mesh.kill(node)
        else:
            self.mesh.crash(node)

    @precondition(lambda self: not self.sick)
    @rule(node=st.sampled_from(FIRST))
    def journal_fails(self, node):
        replicas = self.mesh.hosts[node].replicas
        if replicas is None:
            return
        self.sick = node
        self.mesh.put(self.mesh.hosts[node], lambda now_ns, out: replicas.failed(now_ns, "checksum", out))

    @rule(node=st.sampled_from(FIRST), is_full=st.booleans())
    def room(self, node, is_full):
        replicas = self.mesh.hosts[node].replicas
        if replicas is not None:
            if is_full:
                replicas.full("no space left")
            else:
                replicas.has_room()

    @precondition(lambda self: self.sick)
    @rule()
    def recover(self):
        self.mesh.crash(self.sick)
        self.mesh.restart(self.sick)
        self.sick = ""

    @precondition(lambda self: self.joined < 2)
    @rule()
    def join(self):
        self.joined += 1
        self.mesh.join(f"n{3 + self.joined}")

    @precondition(lambda self: self.joined > self.left)
    @rule(node=st.sampled_from(FIRST))
    def drain(self, node):
        if node in self.mesh.seats and node != self.sick:
            self.left += 1
            self.mesh.drain(node)

    def teardown(self):
        mesh = getattr(self, "mesh", None)
        if mesh is None:
            return
        if self.sick:
            self.recover()
        mesh.loss, mesh.latency_ns = 0.0, (MS // 2, MS)
        mesh.cut.clear()
        for name, host in mesh.hosts.items():
            host.flush_ns = MS
            if host.replicas is not None:
                host.replicas.has_room()
            if mesh.conditions[name] != "well":
                mesh.set_condition(name, "well")
        mesh.run_until_as_wished(120 * SECOND)
        mesh.run(SECOND)
        assert mesh.lost() == []


TestStory = Story.TestCase
TestStory.settings = settings(max_examples=25, stateful_step_count=25, deadline=None)
