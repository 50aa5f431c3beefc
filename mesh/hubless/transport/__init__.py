"""ZeroMQ under trio: the only place of a node that touches sockets. A shell: it decides nothing."""

from hubless.transport.greeting import GreetingRefusedError, greet
from hubless.transport.links import Heartbeat, LinkEvent, MonitoredLinks
from hubless.transport.poller import LINGER_S, Poller
from hubless.transport.sockets import BindError, Inbound, Outbound, bound_address, socket_address

__all__ = [
    "LINGER_S",
    "BindError",
    "GreetingRefusedError",
    "Heartbeat",
    "Inbound",
    "LinkEvent",
    "MonitoredLinks",
    "Outbound",
    "Poller",
    "bound_address",
    "greet",
    "socket_address",
]
