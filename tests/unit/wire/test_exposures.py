from dataclasses import replace

import pytest

from firedoor.core.signal import SILENCE, Reports
from firedoor.core.terms import Policy, resolve
from firedoor.core.units import UnixMs
from firedoor.services.boarding import Boarding, rules_for
from firedoor.services.places import Place, Standing
from firedoor.services.records import Harmed, StoredPlace
from firedoor.wire.exposures import Case, Whereabouts, decisive, undoing

DRAWN_MS = 1_000_000
SHUT_MS = 1_060_000
NOW_MS = 1_300_000
TERMS = resolve(Policy(), 30)
BOARDING = Boarding(
    channel="tills-av",
    number=5,
    release="5e" * 32,
    previous=4,
    boarded_ms=UnixMs(900_000),
    commitment="",
    terms={"everyone": TERMS},
    rules=rules_for(TERMS, reporting=0),
)
CASE = Case(
    boarding=BOARDING,
    decks={},
    harmed={},
    revoked={"everyone": SHUT_MS},
    reverts=True,
    settle_ms=5_000,
    now_ms=NOW_MS,
)


def place(row: int = 1, *, treated: bool = True, deck: int = 1) -> StoredPlace:
    drawn = Place(
        "tills-av", 5, "everyone", deck, 0, 7, treated, 3, reports=Reports.NOTHING, mono_ms=0
    )
    return StoredPlace(row, drawn, "boot", DRAWN_MS)


def served(number: int, since_ms: int, *, seen_ms: int = NOW_MS) -> Whereabouts:
    """A machine that was last assigned this boarding, and last seen then."""
    return Whereabouts(Standing("tills-av", 7, number, since_ms // 1000), seen_ms, 600_000)


@pytest.mark.parametrize(
    ("says", "seen", "undo"),
    [
        ("served the old one since, and alive", served(4, 1_100_000), "reverted"),
        ("the same in the second of the shutting", served(4, SHUT_MS), "reverted"),
        ("served it, not heard again", served(4, 1_100_000, seen_ms=1_100_500), "contained"),
        ("heard only while it may install", served(4, 1_100_000, seen_ms=1_104_000), "contained"),
        ("still where it was", served(5, DRAWN_MS), "contained"),
        ("served nothing at all since", served(0, 1_100_000), "contained"),
        ("went on to a newer one before", served(6, 1_020_000), "contained"),
        ("what it had before its own card", served(4, 800_000), "contained"),
        ("served the old one, but before the shutting", served(4, 1_020_000), "contained"),
        ("never served anything", Whereabouts(None, NOW_MS, 600_000), "contained"),
        ("overdue", Whereabouts(None, NOW_MS, 60_000), "needs remedy"),
    ],
)
def test_undoing_is_told_from_what_was_seen_and_not_from_what_was_ordered(
    says: str, seen: Whereabouts, undo: str
) -> None:
    """Promise 11: each of these machines looks alike to whoever reads the door alone."""
    assert undoing(place(), CASE, seen) == undo, says


def test_what_was_served_before_the_card_counts_for_nothing_even_within_one_second() -> None:
    """Seconds are coarse: in a lab the draw and the shutting may share one."""
    case = replace(CASE, revoked={"everyone": DRAWN_MS + 500})

    assert undoing(place(), case, served(4, DRAWN_MS)) == "contained"


def test_who_has_gone_on_to_a_newer_release_is_not_waited_for() -> None:
    """It will never ask for the old version again, and has no need to."""
    seen = Whereabouts(Standing("tills-av", 7, 6, 1_020), NOW_MS, patience_ms=1)

    assert undoing(place(), CASE, seen) == "contained"


def test_a_client_that_does_not_go_back_needs_a_remedy_though_it_was_served_the_old_version() -> (
    None
):
    """Neither apt nor freshclam goes back: they read an older index and keep what they have."""
    case = replace(CASE, reverts=False)

    assert undoing(place(), case, served(4, 1_100_000)) == "needs remedy"


def test_a_machine_counted_as_silent_needs_a_remedy_until_it_is_heard() -> None:
    """It does not matter what its deadline says: it has been found silent already."""
    harmed = Harmed(1, 7, treated=True, signal=SILENCE, at_ms=1_050_000, recovered_ms=0)
    case = replace(CASE, harmed={1: harmed})
    quiet = served(5, DRAWN_MS, seen_ms=1_050_000)
    heard = served(5, DRAWN_MS, seen_ms=1_050_001)

    assert undoing(place(), case, quiet) == "needs remedy"
    assert undoing(place(), case, heard) == "contained"
    assert undoing(place(), case, served(4, 1_100_000)) == "reverted"


def test_having_got_a_release_weighs_more_than_having_been_compared_to_it() -> None:
    """A machine may be control in three decks and treated in the fourth: it has the release."""
    control, treated = place(1, treated=False), place(2, deck=4)
    again = place(3, treated=False, deck=5)

    assert decisive([control, treated]) == treated
    assert decisive([treated, again]) == treated
    assert decisive([control, again]) == again
