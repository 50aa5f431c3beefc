"""What is let in, and whom we trust: circuit breakers and admission."""

from hubless.guard.permit import Link, PeerAgent, Permit, Refused, Scope, State

__all__ = [
    "Link",
    "PeerAgent",
    "Permit",
    "Refused",
    "Scope",
    "State",
]
