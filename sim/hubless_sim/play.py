"""Runs any tape."""

from hubless_sim.gossip.run import GossipRun
from hubless_sim.mesh.run import MeshRun
from hubless_sim.run import Result, Run
from hubless_sim.shards.run import ShardRun
from hubless_sim.tapes.systems import GossipSystem, MeshSystem, ShardSystem
from hubless_sim.tapes.tape import Tape
from hubless_sim.verdict import Violation
from hubless_sim.world.recorder import Recorder


def open_run(tape: Tape, recorder: Recorder | None = None) -> Run:
    """A run of the tape that nothing has happened in yet.  Raises TapeError on a tape that cannot be run.

    A recorder is told all that happens in it.
    """
    match tape.system:
        case GossipSystem():
            return GossipRun(tape, recorder)
        case MeshSystem():
            return MeshRun(tape, recorder)
        case ShardSystem():
            return ShardRun(tape, recorder)


def play(tape: Tape) -> Result:
    """Run a tape to its end; what a core raises is a finding.  Raises TapeError on a tape that cannot be run."""
    return open_run(tape).judge()


def judged(tape: Tape) -> tuple[Violation, ...]:
    """What does not hold in the run of a tape, see ``play``; without a digest, which takes time."""
    run = open_run(tape)
    run.world.forgo_digest()
    return run.judge().violations
