"""Floors: what no test with the same error rate could do better than, for reports.

A result is quoted as a multiple of its floor, measured / max(1, floor). Wald's inequality: a
test that errs with probability alpha and surely finds the harm has gathered ln(1/alpha) of
expected log-likelihood ratio against the closest truth that it must not accuse.

Source: Wald 1945; evidence.md 2.10.
"""

import math
from typing import Final

_HALVINGS: Final = 200


def harmed_floor(alpha: float, rate_ratio: float, share: float) -> float:
    """Expected harmed treated machines before harm can be proved.

    Args:
        alpha: Chance of accusing a good release, in (0, 1).
        rate_ratio: Harm rate of treated over control (theta), > 1.
        share: Treated share of the machines at risk (w), in [0, 1); 0 is the limit of a control
            without end.

    Returns:
        Machines > 0: ln(1/alpha) p / kl(p, w) with p = theta w / (theta w + 1 - w), the share
        of the treated among the harmed.

    Raises:
        ValueError: An argument is out of range.
    """
    if not (0.0 < alpha < 1.0 and rate_ratio > 1.0 and 0.0 <= share < 1.0):
        raise ValueError(f"no floor for alpha {alpha}, rate ratio {rate_ratio}, share {share}")
    # kl(p, w) / p with p/w = theta/s and (1-p)/(1-w) = 1/s, s = 1 + w (theta-1): no 0/0 at w = 0.
    growth = math.log1p(share * (rate_ratio - 1.0))
    if share == 0.0:
        per_harmed = math.log(rate_ratio) - 1.0 + 1.0 / rate_ratio
    else:
        p = rate_ratio * share / (1.0 + share * (rate_ratio - 1.0))
        per_harmed = math.log(rate_ratio) - growth / p
    return -math.log(alpha) / per_harmed


def clearance_floor(
    alpha: float, delta: float, base_rate: float = 0.0, controls_per_treated: float = 9.0
) -> float:
    """Expected installs before an excess of ``delta`` can be excluded, if there is none.

    Args:
        alpha: Chance of clearing a release that is worse by delta, in (0, 1).
        delta: Excess harmed machines per installed machine, > 0.
        base_rate: Harmed machines per machine without the release, >= 0.
        controls_per_treated: Control machines that mature with one treated, >= 0.

    Returns:
        Installed machines > 0: ln(1/alpha) over the least of D(l, q + delta) + r D(l, q) over
        the base rates q the null may claim, D(a, b) = a ln(a/b) - a + b. Without base rate it
        is ln(1/alpha)/delta, the sequential rule of three.

    Raises:
        ValueError: An argument is out of range.
    """
    if not (0.0 < alpha < 1.0 and delta > 0.0 and base_rate >= 0.0 and controls_per_treated >= 0.0):
        raise ValueError(f"no floor for alpha {alpha}, delta {delta}, base rate {base_rate}")

    def slope(q: float) -> float:
        # Of the convex function of q that is minimised; its root lies in [0, base_rate].
        treated = 1.0 - base_rate / (q + delta)
        return treated + controls_per_treated * (1.0 - base_rate / q)

    low, high = 0.0, base_rate
    for _ in range(_HALVINGS if base_rate > 0.0 else 0):
        middle = (low + high) / 2.0
        if middle <= low:
            break
        low, high = (low, middle) if slope(middle) >= 0.0 else (middle, high)
    least = _divergence(base_rate, high + delta) + controls_per_treated * _divergence(
        base_rate, high
    )
    return -math.log(alpha) / least


def _divergence(a: float, b: float) -> float:
    """Divergence of a Poisson mean a from a Poisson mean b."""
    return b - a + (a * math.log(a / b) if a > 0.0 else 0.0)
