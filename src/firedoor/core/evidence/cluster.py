r"""Harm that comes in clusters, where admission was not random machine by machine.

If the gate dealt the cards, nothing here is needed: the harm test is valid whatever the
correlation between machines. Rings picked by hand, files from elsewhere and clearance are not so
lucky, because forty machines that fail with their site are one accident and not forty. Cards that
were dealt to whole sites are not enough: then the sites are what chance chose.

*Known cluster size.* If at most c machines are harmed by one accident, every count is divided by
c: the log factor of counts is divided by c. An accident that harms k1 treated and k0 control
machines, k1 + k0 <= c, then multiplies the wealth by a weighted geometric mean, which is at most
the arithmetic one:

    (1+b)^(k1/c) (1 - b m1/m0)^(k0/c)  <=  1 + b k1/c - b (m1/m0) k0/c

for b > 0 and for b < 0, so accidents that arrive as a compound Poisson process give a mean of at
most exp(b (m1 p1 - m1 p0) / c): harm, excess and clearance all keep their guarantees. Where harm
does not come in clusters this costs a factor c of evidence.

*Site units.* If whole sites form the ring, a site with at least one harmed machine counts as one
harmed unit, and m is the number of sites. Only the linear factor is used: it asks no more than
that a harmed unit is treated with a chance of at most w. The plain factor of machines is refused
there (55.7 % false alarms at alpha = 1 %); :func:`suitable` tells the two layouts apart.

Source: evidence.md 2.4 (cluster mode, site units), table C. The proof for accidents that hit both
arms is ours.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import Final, Self

import numpy as np
from numpy.typing import ArrayLike

from firedoor.core.evidence import harm
from firedoor.core.evidence.counts import Counts, Floats, Ints

LARGEST_LABEL_CORRELATION: Final = 0.1
"""Above this the sites explain so much of who was treated that machines are no units.

Random admission gives 0 up to chance (standard deviation below 0.01 for 50 sites of 40), whole
sites give 1. In layouts of a few machines chance alone may exceed the limit; what is lost then
is evidence, not validity.
"""


class Comparison(StrEnum):
    """Which factors a layout of treated and control machines over sites allows."""

    MACHINES = "machines"
    """Both arms share their sites: half plain, half linear, on machines."""
    SITES = "sites"
    """Whole sites form the ring: the linear factor on site units; the plain factor is refused."""
    NONE = "none"
    """One arm is empty: there is nothing to compare with."""


@dataclass(frozen=True, slots=True, eq=False)
class Layout:
    """Where treated and control machines are; every array has shape (sites,), read-only.

    Attributes:
        treated: Treated machines of each site, count >= 0.
        control: Control machines of each site, count >= 0.
    """

    treated: Ints
    control: Ints

    @classmethod
    def of(cls, treated: ArrayLike, control: ArrayLike) -> Self:
        """Check the counts of a layout.

        Raises:
            ValueError: A count is no whole number or is negative.
        """
        checked = Counts.of(treated, control, 0, 0)
        return cls(checked.treated, checked.control)


def suitable(layout: Layout) -> Comparison:
    """Say what may be compared, before any outcome is known.

    Returns:
        ``NONE`` if an arm is empty; ``SITES`` if the label correlation is above
        :data:`LARGEST_LABEL_CORRELATION`; ``MACHINES`` otherwise.
    """
    if not (layout.treated.any() and layout.control.any()):
        return Comparison.NONE
    if label_correlation(layout) > LARGEST_LABEL_CORRELATION:
        return Comparison.SITES
    return Comparison.MACHINES


def label_correlation(layout: Layout) -> float:
    r"""How much the site decides whether a machine is treated: 0 by random admission, 1 wholly.

    The contrast that remains inside sites against what random labels would leave on average:

        1  -  (sum over sites of t c / n) / (T C / N)  *  (N-1) / (N-S)

    with t treated and c control of the n machines of a site, T, C, N over all of them, S sites.

    Returns:
        At most 1; a little below 0 where sites were balanced on purpose; 0 where every machine
        is a site of its own, or an arm is empty.

    Source: the analysis of variance of a label, by sites; ours in this form.
    """
    t, c = layout.treated.astype(np.float64), layout.control.astype(np.float64)
    n = t + c
    machines, sites = n.sum(), float((n > 0.0).sum())
    pooled = t.sum() * c.sum() / max(machines, 1.0)
    if machines == sites or pooled == 0.0:
        return 0.0
    inside = (t * c / np.maximum(n, 1.0)).sum()
    return float(1.0 - inside / pooled * (machines - 1.0) / (machines - sites))


def site_units(layout: Layout, treated_harmed: ArrayLike, control_harmed: ArrayLike) -> Counts:
    """Count sites instead of machines: a site is harmed once, however many of its machines are.

    A site with machines of both arms is a unit in each; that is sound as long as its treated part
    is no larger than its control part, for the larger part of a site is hit more often.

    Args:
        layout: Machines at risk of S' sites.
        treated_harmed: Of the treated of each site, newly harmed, shape (S',).
        control_harmed: Of the control likewise, shape (S',).

    Returns:
        One row: treated and control sites, and those with at least one harmed machine. Take it
        by :func:`firedoor.core.evidence.harm.linear` alone.

    Raises:
        ValueError: More machines harmed than at risk, or no whole numbers.
    """
    checked = Counts.of(layout.treated, layout.control, treated_harmed, control_harmed)
    return Counts.of(
        int((checked.treated > 0).sum()),
        int((checked.control > 0).sum()),
        int((checked.treated_harmed > 0).sum()),
        int((checked.control_harmed > 0).sum()),
    )


def plain(counts: Counts, size: ArrayLike) -> Floats:
    """Log of the plain harm factor where up to ``size`` machines are harmed together.

    The binomial factor, because the exact one knows no fraction of a machine. The linear factor
    is one observation whatever the size of the clusters and needs no such care.

    Args:
        counts: One closing for each of S streams.
        size: c, a whole number >= 1, a scalar or shape (S,).

    Returns:
        Shape (S, J): the factor of single machines, to the power 1/c.

    Raises:
        ValueError: A cluster size below 1.
    """
    return harm.binomial(counts) / checked_size(size)[:, None]


def checked_size(size: ArrayLike) -> Floats:
    """A cluster size as an array, shape (1,) or (S,).

    Raises:
        ValueError: A size is below 1 or no whole number.
    """
    sizes = np.atleast_1d(np.asarray(size))
    if sizes.dtype.kind not in "iu" or np.any(sizes < 1):
        raise ValueError("a cluster has at least one machine, and a whole number of them")
    return sizes.astype(np.float64)
