"""What a release may claim of itself: a verdict on cards that were drawn, or no evidence at all.

A door that opened by decree (adopted, empty, expedited, pinned) before anybody drew a card has
compared nothing with nothing. Calling that "undecided" would promise a verdict that never comes.
"""

from collections.abc import Iterator
from typing import Final

from firedoor.cli.output import count, short, when
from firedoor.console.model import Judgement, PreflightView, ReleaseView
from firedoor.core.door import State
from firedoor.core.terms import TakesEffect
from firedoor.services.stalls import Stall, explained
from firedoor.wire.verdicts import claims_nothing

NO_VERDICT: Final = "-"
_TRIED: Final = (State.WAITING, State.OPENING)
_UNDECIDED: Final = (State.WAITING, State.OPENING, State.HELD)


def unproven(release: ReleaseView) -> str:
    """Say why no evidence is claimed for a release; "" where cards were drawn, or may be yet."""
    doors = release.door.values()
    if not claims_nothing(doors):
        return ""
    reasons = " and ".join(dict.fromkeys(door.reason.value for door in doors))
    return f"{reasons}: no evidence is claimed"


def judgement(release: ReleaseView) -> str:
    """The verdict in one word, "-" where none is claimed."""
    return NO_VERDICT if unproven(release) else release.verdict.state.value


def stalled(release: ReleaseView) -> Iterator[str]:
    """Which doors stand still because only clients that are not enrolled are behind them."""
    for ring, door in release.door.items():
        if door.state is State.OPENING and door.unknown and not door.machines:
            why = explained(Stall.UNKNOWN, door.unknown)
            yield f"the door of ring {ring} stands still: {why}"


def looked_at(view: PreflightView) -> str:
    """What came of a preflight, and what the tool said."""
    return f"{view.result}: {view.sentence}" if view.sentence else view.result


def late(release: ReleaseView) -> Iterator[str]:
    """Who has not installed yet, of each door that is undecided."""
    for ring, door in release.door.items():
        if door.state not in _UNDECIDED or not (door.waiting or door.dormant):
            continue
        what = (
            "installed"
            if release.takes_effect is TakesEffect.INSTALL
            else "installed and restarted"
        )
        yield (
            f"ring {ring}: {count(door.waiting)} in flight had not {what} when their deck was "
            f"looked at, {count(door.dormant)} are dormant"
        )


def urgent(release: ReleaseView) -> Iterator[str]:
    """Fast lanes with their ends, what is known to be exploited, orders that wait."""
    for ring, door in release.door.items():
        if door.lane is not None:
            yield (
                f"ring {ring}: a fast lane puts {door.lane.slots} more machines at risk until "
                f"{when(door.lane.ends_ms)}, and then ends by itself"
            )
    for each in release.exploited:
        ransom = ", by ransomware too" if each.ransomware else ""
        yield (
            f"names {each.cve} {each.name}, known to be exploited (listed {each.added}{ransom}); "
            f"said by {each.source}"
        )
    if release.exploited and any(door.state in _TRIED for door in release.door.values()):
        yield (
            "whether to hurry it is for a person to decide: firedoor release expedite "
            f'{short(release.id)} --budget N --for 4h --reason "WHY"'
        )
    for order in release.orders:
        yield (
            f"order {order.number} of {order.by} ({order.verb}: {order.reason}) waits for a second "
            f"person until {when(order.until_ms)}: "
            f"firedoor release approve {short(release.id)} {order.number} --by NAME"
        )


def waiting(release: ReleaseView) -> Iterator[str]:
    """What each door of a cleared release still waits for before it opens."""
    if release.verdict.state is not Judgement.CLEARED:
        return
    for ring, door in release.door.items():
        if door.state is not State.OPENING:
            continue
        if door.in_flight:
            what = f"for {count(door.in_flight)} in flight, and then for its soak"
        else:
            what = "for its soak, or for the reserve if the ring asks for more than the release"
        yield f"the door of ring {ring} is opening still: it waits {what}"
