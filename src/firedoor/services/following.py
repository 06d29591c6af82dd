"""Following: of how many machines counted in an interval it is known that they are followed still.

The judge alone is told how many machines were at risk in each interval, and for how many intervals
N a machine is followed. Its bound is an average over all that were at risk, and intervals in which
machines are counted that came longer ago than N thin it out: harm in the sixth of six hours is
small against sixty quiet ones. So the excess of all of them is put down to those that are
followed, and the bound grows by

    sum over t of m_t  /  sum over t of f_t,         f_t = min(m_t, a_t + a_{t-1} + .. + a_{t-N+1})

with the arrivals a_t = max(0, m_t - (m_{t-1} - x_{t-1})): who is at risk now, and was not among
those of the interval before who were not harmed. Machines that leave without harm are not known
to leave, so a stratum whose machines come and go seems to follow fewer than it does.
"""

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field

from firedoor.core.cell import Cell


@dataclass(slots=True)
class _Stratum:
    left: int = 0
    new: int = 0  # machines of ``arrived``
    arrived: deque[tuple[int, int]] = field(default_factory=deque)  # (interval, machines), in order


def thinning(classes: Iterable[Cell], follow_up: int) -> float:
    """By how much machines at risk outnumber those that are followed.

    Args:
        classes: Clearance cells of one release in order; ``deck`` is the number of the interval.
        follow_up: Intervals for which a machine is followed (N), >= 1.

    Returns:
        Factor of the bound, >= 1; 1 if nobody was ever at risk.
    """
    known: dict[str, _Stratum] = {}
    counted = followed = 0
    for cell in classes:
        stratum = known.setdefault(cell.stratum, _Stratum())
        came = max(0, cell.treated - stratum.left)
        stratum.arrived.append((cell.deck, came))
        stratum.new += came
        while stratum.arrived[0][0] <= cell.deck - follow_up:
            stratum.new -= stratum.arrived.popleft()[1]
        stratum.left = cell.treated - cell.treated_harmed
        counted += cell.treated
        followed += min(cell.treated, stratum.new)
    return counted / followed if followed else 1.0
