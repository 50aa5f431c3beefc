"""Runs any tape."""

from hubless_sim.gossip.run import GossipRun
from hubless_sim.mesh.run import MeshRun
from hubless_sim.run import Result, Run
from hubless_sim.shards.run import ShardRun
from hubless_sim.tapes.systems import GossipSystem, MeshSystem, ShardSystem
from hubless_sim.tapes.tape import Tape


def open_run(tape: Tape) -> Run:
    """A run of the tape that nothing has happened in yet.  Raises TapeError on a tape that cannot be run."""
    match tape.system:
        case GossipSystem():
            return GossipRun(tape)
        case MeshSystem():
            return MeshRun(tape)
        case ShardSystem():
            return ShardRun(tape)


def play(tape: Tape) -> Result:
    """Run a tape to its end; what a core raises is a finding.  Raises TapeError on a tape that cannot be run."""
    return open_run(tape).judge()
