"""Sites as units: counts of others in which whole sites were chosen, not machines.

Where a site is all treated or all control, what befalls the site looks like the release: in the
design's worst case more than half of the harmless releases were called harmful at a level of one
per cent. Then a site is one observation. It counts once for each signal, at the interval of its
first harm, however many of its machines fail and however long; from then on it is not at risk.
So a site that always has trouble is no more than one harmed site.

Given that, the sites still at risk are compared by the linear factor alone, and nothing is
cleared: how many machines of a site may fail together, nobody knows.

Source: evidence.md 2.4 (site units), table C; ``core.evidence.cluster``.
"""

from collections.abc import Iterable, Sequence
from itertools import groupby
from operator import attrgetter

from firedoor.core.errors import BadInput
from firedoor.core.evidence.cluster import Comparison, Layout, site_units, suitable
from firedoor.formats.counts import Row

_HINT = (
    "count sites: --units sites, units=sites of a run, judgeConfigurations.units of Kayenta; the "
    "stratum (of Kayenta: the tags of a pair) then names the site"
)


def of_sites(rows: Sequence[Row]) -> list[Row]:
    """Count sites instead of machines.

    Args:
        rows: Of one release in the order in which they became known; the stratum is the site.

    Returns:
        A row for each interval and signal, without strata: sites at risk, and those of them with
        their first harm.

    Raises:
        BadInput: A row names no site, or a site has more treated than control machines: the
            larger part of a site is hit more often, whatever it runs.
    """
    found: list[Row] = []
    harmed: set[tuple[str, str]] = set()
    for _, interval in groupby(rows, key=attrgetter("time_ms")):
        together = list(interval)
        for signal in dict.fromkeys(row.signal for row in together):
            own = [row for row in together if row.signal == signal]
            for row in own:
                _check(row)
            at_risk = [row for row in own if (signal, row.stratum) not in harmed]
            found.append(_counted(own[0], at_risk))
            harmed |= {
                (signal, row.stratum) for row in at_risk if row.treated_harmed or row.control_harmed
            }
    return found


def count_sites(rows: Iterable[Row]) -> int:
    """Sites that the counts name."""
    return len({row.stratum for row in rows})


def check_machines(rows: Sequence[Row]) -> None:
    """Refuse to compare machines where whole strata are treated and whole strata are control.

    Who is at risk is looked at, and no outcome. All rows are: what is known of a rollout before
    anybody is treated refuses nothing. Strata of which some have machines of both arms at once
    can be compared within them.

    Args:
        rows: Of one release.

    Raises:
        BadInput: No stratum has machines of both arms at once, though both arms have machines.
    """
    if any(row.treated and row.control for row in rows):
        return
    layout = Layout.of([row.treated for row in rows], [row.control for row in rows])
    if suitable(layout) is Comparison.NONE:
        return  # Nobody is treated yet, or nobody is control: there is nothing to refuse.
    raise BadInput(
        "whole strata are treated and whole strata are control, and never both at once, so no "
        "machine has another to be compared with",
        hint=_HINT,
    )


def check_named(rows: Iterable[Row]) -> None:
    """Refuse rows that name no site. Raises BadInput."""
    for row in rows:
        if not row.stratum:
            raise BadInput(
                f"{row.place}: the stratum is empty; it has to name the site",
                hint="of Kayenta's pairs, the tags name the site",
            )


def _check(row: Row) -> None:
    check_named([row])
    if row.treated > row.control > 0:
        raise BadInput(
            f"{row.place}: site {row.stratum[:40]!r} has machines of both arms, and more of them "
            "treated than control",
            hint="compare the machines within such sites, without units of sites",
        )


def _counted(first: Row, at_risk: Sequence[Row]) -> Row:
    """One row of all the sites at risk; without any it says that nothing happened."""
    columns = ([0], [0], [0], [0])
    if at_risk:
        columns = (
            [row.treated for row in at_risk],
            [row.control for row in at_risk],
            [row.treated_harmed for row in at_risk],
            [row.control_harmed for row in at_risk],
        )
    treated, control, treated_harmed, control_harmed = columns
    units = site_units(Layout.of(treated, control), treated_harmed, control_harmed)
    return Row(
        time_ms=first.time_ms,
        release=first.release,
        signal=first.signal,
        stratum="",
        treated=int(units.treated[0]),
        control=int(units.control[0]),
        treated_harmed=int(units.treated_harmed[0]),
        control_harmed=int(units.control_harmed[0]),
        installed=int(units.treated[0]),
        place=first.place,
    )
