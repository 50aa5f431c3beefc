"""How bad a failure rate must be called, given how few calls were seen.

E. B. Wilson, "Probable inference, the law of succession, and statistical inference", JASA 22 (1927).
"""

from math import sqrt

Z_99 = 2.3263478740408408
"""Standard normal quantile of 0.99: the true rate lies above the bound in 99 % of samples (one-sided)."""


def wilson_lower(failures: int, calls: int, *, z: float = Z_99) -> float:
    """Lower confidence bound, in 0..1, of the failure rate behind `failures` out of `calls`; 0 without calls.

    It is the smaller root p of (failures/calls - p)**2 = z**2 * p * (1 - p) / calls.
    """
    if not 0 <= failures <= calls:
        raise ValueError(f"failures must be 0..calls, got {failures} of {calls}")
    if not failures:
        return 0.0
    rate = failures / calls
    square = z * z
    spread = z * sqrt((rate * (1.0 - rate) + square / (4 * calls)) / calls)
    return (rate + square / (2 * calls) - spread) / (1.0 + square / calls)
