"""How each system's tape of a seed is drawn."""

from collections.abc import Callable

from hubless_sim.gossip import accused_swarm, hushed_swarm
from hubless_sim.gossip import frozen_swarm as frozen_gossip_swarm
from hubless_sim.gossip import swarm as gossip_swarm
from hubless_sim.mesh import agent_swarm, apart_swarm, crowd_swarm, frozen_swarm, pool_swarm, sink_swarm
from hubless_sim.mesh import swarm as mesh_swarm
from hubless_sim.shards import swarm as shard_swarm
from hubless_sim.tapes.tape import Tape

SWARMS: dict[str, Callable[[int], Tape]] = {
    "shards": shard_swarm.drawn_tape,
    "mesh": mesh_swarm.drawn_tape,
    "frozen": frozen_swarm.drawn_tape,
    "frozen-two": frozen_swarm.tape_of_two,
    "pools": pool_swarm.drawn_tape,
    "crowds": crowd_swarm.drawn_tape,
    "sinks": sink_swarm.drawn_tape,
    "apart": apart_swarm.drawn_tape,
    "agents": agent_swarm.drawn_tape,
    "gossip": gossip_swarm.drawn_tape,
    "frozen-gossip": frozen_gossip_swarm.drawn_tape,
    "cramped": gossip_swarm.cramped_tape,
    "accused": accused_swarm.drawn_tape,
    "hushed": hushed_swarm.drawn_tape,
}
"""By the name of a system, its drawing."""
