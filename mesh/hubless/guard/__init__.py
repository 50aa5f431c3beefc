"""What is let in, and whom we trust: circuit breakers and admission."""

from hubless.guard.admission import Admission, AdmissionConfig, Admitted, Overloaded
from hubless.guard.breaker import BreakerView, Moved
from hubless.guard.breakers import BreakerCounters, Breakers
from hubless.guard.config import BreakerConfig
from hubless.guard.lag import OwnLag
from hubless.guard.permit import Link, PeerAgent, Permit, Refused, Scope, State
from hubless.guard.pools import PoolView
from hubless.guard.states import CHARGES, TRANSITIONS, Cause, Charge, Evidence
from hubless.guard.wilson import wilson_lower

__all__ = [
    "CHARGES",
    "TRANSITIONS",
    "Admission",
    "AdmissionConfig",
    "Admitted",
    "BreakerConfig",
    "BreakerCounters",
    "BreakerView",
    "Breakers",
    "Cause",
    "Charge",
    "Evidence",
    "Link",
    "Moved",
    "Overloaded",
    "OwnLag",
    "PeerAgent",
    "Permit",
    "PoolView",
    "Refused",
    "Scope",
    "State",
    "wilson_lower",
]
