"""Where the sockets of nodes are bound in the simulated network. A port tells which machine it is on."""

from functools import cache

from hubless_gossip import Address

FIRST_PORT = 10_000
FIRST_WORK_PORT = 20_000


@cache
def address_of(index: int) -> Address:
    """The gossip socket of the node on a machine."""
    return Address(f"10.0.{index >> 8}.{index & 255}", FIRST_PORT + index)


@cache
def work_address_of(index: int) -> Address:
    """Its work socket."""
    return Address(address_of(index).host, FIRST_WORK_PORT + index)
