"""What counts as proof. Three tiers: kernel (the process is gone), I/O thread (it lives), application.

Pure rules; `view.py` applies them to every claim from whatever source.
"""

from __future__ import annotations

from hubless_gossip.claims import Claim, Rank, Standing
from hubless_gossip.marks import sometimes


def accusers_needed(reachable: int) -> int:
    """Independent accusers that a death by suspicion needs. `reachable`: members not suspect here, this node
    and the accused included. A survivor who suspects everybody else has nobody left to ask."""
    return 2 if reachable >= 4 else 1


def witnesses_needed(live: int) -> int:
    """Kernels (reset and refused) that make a death at once, among `live` members, the accused included."""
    return 1 if live <= 2 else 2


def in_panic(suspects: int, live: int) -> bool:
    """When most of the mesh seems silent at once, the likelier cause is this node or its network."""
    return suspects >= 3 and 2 * suspects > live


def admitted(claim: Claim, held: Claim, *, merged: bool, link_up: bool, live: int, reachable: int) -> Claim:
    """What a foreign claim is worth here, before it is joined with what is held.

    A death carries its evidence or becomes a suspicion, which leaves its subject the time to refute:
    * two kernels saw the process gone: believed;
    * a monitored link to that very process is up here: disputed;
    * by suspicion: believed if this node suspects the same incarnation already and there are accusers enough;
      a push-pull only repeats what was, so that a merged one (`merged`) is never believed at once.
    Everything else passes as it is.
    """
    said, own = claim.standing, held.standing
    if said.rank != Rank.DEAD or own.final or (said.boot, said.incarnation) < (own.boot, own.incarnation):
        return claim
    if not link_up:
        if len(said.gone) >= witnesses_needed(live):
            return claim
        same = (said.boot, said.incarnation) == (own.boot, own.incarnation)
        suspected = same and own.rank == Rank.SUSPECT
        if suspected and not merged and len(said.accusers) >= accusers_needed(reachable):
            return claim
        sometimes("took a death without proof for a suspicion")
    else:
        sometimes("disputed a death, as the link to that process is up")
    same_life = (said.boot, said.incarnation) == (own.boot, own.incarnation)
    round_ = own.round if same_life else 0
    weaker = Standing(said.boot, said.incarnation, round_, Rank.SUSPECT, said.accusers, said.gone)
    return Claim(claim.node, weaker, claim.statement)


def suspected_by(held: Standing, accuser: str, *, gone: bool) -> Standing:
    """The accusation that `accuser` adds to what it holds: a failed probe, or a process its kernel saw gone."""
    return Standing(
        held.boot,
        held.incarnation,
        held.round,
        Rank.SUSPECT,
        (accuser,),
        (accuser,) if gone else (),
    )


def dead_of(held: Standing) -> Standing:
    """The death that follows from a suspicion, with its evidence. Rounds end with it."""
    return Standing(held.boot, held.incarnation, 0, Rank.DEAD, held.accusers, held.gone)


def busy_of(held: Standing) -> Standing:
    """What a live link says against silence: busy, and over a suspicion busy in the next round."""
    round_ = held.round + (held.rank == Rank.SUSPECT)
    return Standing(held.boot, held.incarnation, round_, Rank.BUSY)
