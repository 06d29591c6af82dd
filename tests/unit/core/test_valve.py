import math
from collections import Counter

import numpy as np
import pytest

from firedoor.core import valve
from firedoor.core.valve import Deal

KEY = bytes(range(32))


def key(n: int) -> bytes:
    return valve.deck_key(KEY, "release", "everyone", n)


def binom(n: int, p: float) -> list[float]:
    return [math.comb(n, k) * p**k * (1 - p) ** (n - k) for k in range(n + 1)]


# Window and room


def test_an_unproven_release_puts_exactly_the_budget_at_risk():
    """U starts at 1: nothing is known, so any machine may be lost."""
    assert valve.room(budget=5, upper=1.0, in_flight=0, debt=0.0) == 5


@pytest.mark.parametrize(
    ("treated", "control", "harmed", "failing", "beyond"),
    [
        (3, 9, 3, 0, 3.0),  # nothing fails anyway: each is the release's, however few controls
        (5, 1, 5, 0, 5.0),
        (10, 90, 2, 9, 1.0),  # a tenth fails anyway
        (10, 90, 0, 9, -1.0),  # luck cancels, in the sum over classes
        (4, 0, 2, 0, 2.0),  # nobody to compare with
    ],
)
def test_harm_beyond_chance_is_what_the_controls_do_not_show(
    treated, control, harmed, failing, beyond
):
    """The share that chance has of all harmed would spend a budget up to twice."""
    found = valve.beyond_chance(
        treated=treated, control=control, treated_harmed=harmed, control_harmed=failing
    )
    assert found == pytest.approx(beyond)


@pytest.mark.parametrize(("treated", "control"), [(3, 27), (5, 5), (20, 4)])
@pytest.mark.parametrize(("fails", "kills"), [(0.0, 0.3), (0.1, 0.0), (0.2, 0.5)])
def test_harm_beyond_chance_has_no_bias(treated, control, fails, kills):
    """Enumerated: its mean over all that may happen is what the release harmed."""
    of_treated = binom(treated, fails + (1 - fails) * kills)
    of_control = binom(control, fails)
    mean = math.fsum(
        p
        * q
        * valve.beyond_chance(
            treated=treated, control=control, treated_harmed=x1, control_harmed=x0
        )
        for x1, p in enumerate(of_treated)
        for x0, q in enumerate(of_control)
    )
    assert mean == pytest.approx(treated * (1 - fails) * kills, abs=1e-9)


@pytest.mark.parametrize(
    ("upper", "in_flight", "debt", "free"),
    [
        (1.0, 5, 0.0, 0),
        (0.5, 0, 0.0, 10),
        (0.5, 3, 0.0, 7),
        (0.5, 3, 0.1, 6),  # a part of a machine is a machine
        (0.5, 3, 2.0, 5),
        (0.34, 0, 0.0, 14),  # never more than the budget allows: 14.7 is 14
        (1.0, 3, 4.0, 0),  # never below nobody
    ],
)
def test_a_machine_in_flight_or_harmed_keeps_its_slot(upper, in_flight, debt, free):
    """Refilled slots of bricks nearly doubled the harm (cohorts.md 1.4)."""
    assert valve.room(budget=5, upper=upper, in_flight=in_flight, debt=debt) == free


def test_rounding_of_a_sum_of_shares_costs_no_slot():
    """0.1 + 0.2 is a little more than 0.3; a door must not be held for that."""
    assert valve.room(budget=3, upper=1.0, in_flight=0, debt=1.0 + 1e-12) == 2
    assert valve.window(3, 0.1 + 0.2) == 10
    assert valve.window(3, 3 / 100) == 100


# Which deck to deal


def deal(free, *, room=1000, untreated=None, active=None, control=0.1, quiet=False):
    untreated = free if untreated is None else untreated
    return valve.deal(
        room=room,
        free=free,
        untreated=untreated,
        active=untreated if active is None else active,
        control=control,
        quiet=quiet,
    )


@pytest.mark.parametrize(
    ("room", "free", "deck"),
    [
        (5, 300, Deal(5, 50)),  # ten cards for each slot
        (5, 30, Deal(5, 30)),  # or everybody, if there are fewer
        (40, 100, Deal(40, 100)),
        (1, 2, Deal(1, 2)),
        (1, 3, Deal(1, 3)),
    ],
)
def test_everybody_at_hand_who_is_not_admitted_is_control(room, free, deck):
    """More controls than nine for one add little; fewer than there are waste evidence."""
    assert deal(free, room=room) == deck


@pytest.mark.parametrize("control", [0.01, 0.1, 0.23, 0.5, 0.77, 0.99])
@pytest.mark.parametrize("free", [2, 3, 7, 10, 99, 100, 101])
@pytest.mark.parametrize("room", [1, 2, 10, 1000])
def test_a_deck_keeps_its_share_of_control_and_asks_for_nobody_who_is_not_there(
    control, free, room
):
    """A card too many would leave the deck open until its time is up; a control too few blinds."""
    deck = deal(free, room=room, control=control)

    if deck is not None:
        assert deck.cards <= free
        assert 1 <= deck.treated <= room
        assert deck.treated < deck.cards
        assert deck.cards - deck.treated >= math.floor(control * deck.cards)


@pytest.mark.parametrize(
    ("room", "free"), [(0, 10), (3, 0), (3, 1)], ids=["no room", "nobody", "no control"]
)
def test_without_room_or_without_a_control_nothing_is_dealt(room, free):
    """One machine alone has nobody to be compared with."""
    assert deal(free, room=room, untreated=20) is None


def test_the_reserve_is_left_over_until_it_may_go():
    """The last tenth stays to compare with, as long as there is something to learn."""
    assert deal(6, untreated=6, active=50) == Deal(1, 6)
    assert deal(5, untreated=5, active=50) is None


def test_the_reserve_is_dealt_at_once_and_without_control_when_all_is_quiet():
    """Nobody is left to be its control; it goes when everybody else has shown no harm."""
    assert deal(5, untreated=5, active=50, quiet=True) == Deal(5, 5)
    assert deal(2, untreated=5, active=50, quiet=True) == Deal(2, 2)


def test_a_reserve_larger_than_the_room_is_walked_within_it():
    """A door must not stand for a reason that no machine gave; nor may more be at risk than B."""
    assert deal(5, untreated=5, active=50, quiet=True, room=4) == Deal(4, 4)
    assert deal(10, untreated=10, active=20, control=0.5, quiet=True, room=2) == Deal(2, 2)
    assert deal(10, untreated=10, active=20, control=0.5, quiet=False, room=2) is None


@pytest.mark.parametrize("fleet", range(1, 41))
@pytest.mark.parametrize("control", [0.01, 0.1, 0.5, 0.77, 0.99])
@pytest.mark.parametrize("budget", [1, 2, 20])
def test_a_harmless_release_reaches_every_fleet_a_budget_at_a_time(fleet, control, budget):
    """No combination of size, share and budget may leave a door that stands without a reason."""
    untreated = fleet
    decks: list[Deal] = []
    while untreated and len(decks) <= fleet:
        deck = deal(untreated, active=fleet, control=control, room=budget, quiet=True)
        decks.append(deck)
        untreated -= deck.treated

    assert untreated == 0
    assert max(deck.treated for deck in decks) <= budget
    # Without a control only the reserve goes.
    alone = sum(deck.treated for deck in decks if deck.cards == deck.treated)
    assert alone <= max(1, math.floor(control * fleet))


def test_machines_that_cannot_draw_yet_count_as_reserve():
    """Whoever is sealed or was seen only once will be there to compare with."""
    assert deal(10, untreated=20, active=100) == Deal(9, 10)
    assert deal(10, untreated=12, active=100) == Deal(2, 10)


def test_a_machine_alone_in_the_fleet_is_let_in_without_evidence():
    """It must not wait for a comparison that can never be made (decisions.md 7)."""
    assert deal(1, active=1, quiet=True) == Deal(1, 1)
    assert deal(1, active=1, quiet=False) is None


@pytest.mark.parametrize(
    ("polls", "gap", "buckets"),
    [
        (0, 0, 60),
        (0, 1440, 60),
        (0, 3, 3),
        (10, 60, 20),
        (1, 60, 60),
        (10, 5, 5),
        (1000, 60, 1),
        (0, 0.2, 1),
    ],
)
def test_a_deck_lives_until_about_200_free_machines_have_polled(polls, gap, buckets):
    """A deck must not wait for a fleet that is asleep."""
    assert valve.patience(polls, gap) == buckets


# Cards


def test_each_place_in_a_deck_is_treated_with_the_same_frequency():
    """Whoever comes first must gain or lose nothing by it (cohorts.md 6, test 3)."""
    deck, deals = Deal(3, 12), 6_000
    treated = Counter(
        card
        for n in range(deals)
        for card, label in enumerate(valve.arrangement(key(n), deck))
        if label
    )

    share = deck.treated / deck.cards
    error = 4 * math.sqrt(share * (1 - share) / deals)
    assert all(abs(treated[card] / deals - share) < error for card in range(deck.cards))


def test_every_arrangement_of_a_deck_is_equally_likely():
    """The proof rests on the joint law of the cards, not on each card alone."""
    deals = 10_000
    seen = Counter(valve.arrangement(key(n), Deal(2, 5)) for n in range(deals))

    expected = deals / math.comb(5, 2)
    assert len(seen) == math.comb(5, 2)
    chi_squared = sum((count - expected) ** 2 / expected for count in seen.values())
    assert chi_squared < 33.7  # 9 degrees of freedom, one in ten thousand


@pytest.mark.parametrize("deck", [Deal(1, 1), Deal(4, 4), Deal(1, 9), Deal(8, 9), Deal(50, 500)])
def test_a_deck_has_exactly_its_treated_cards(deck):
    """The cap is hard by construction."""
    for n in range(20):
        assert sum(valve.arrangement(key(n), deck)) == deck.treated


def test_a_card_can_be_turned_without_the_rest_of_the_deck():
    """The gate turns one card a poll; an auditor deals the whole deck: both must see the same."""
    deck = Deal(4, 11)
    left, turned = deck.treated, []
    for card in range(deck.cards):
        label = valve.is_treated(key(1), card, treated_left=left, cards_left=deck.cards - card)
        left -= label
        turned.append(label)

    assert tuple(turned) == valve.arrangement(key(1), deck)


@pytest.mark.parametrize(("treated", "cards"), [(2, 1), (-1, 3), (0, 0)])
def test_a_deck_that_cannot_be_is_a_mistake_of_the_caller(treated, cards):
    """Better no answer than a card from a deck that is used up."""
    with pytest.raises(ValueError, match="cards"):
        valve.is_treated(KEY, 0, treated_left=treated, cards_left=cards)


# Seeds


def test_seeds_of_boardings_and_keys_of_decks_are_all_different():
    """One that is known must say nothing about the next."""
    seeds = {
        valve.boarding_seed(KEY, channel, number, nonce)
        for channel in ("a", "b")
        for number in range(1, 30)
        for nonce in ("", "x")
    }
    keys = {
        valve.deck_key(KEY, release, ring, deck)
        for release in ("r1", "r2")
        for ring in ("lab", "till")
        for deck in range(1, 20)
    }

    assert len(seeds) == 116
    assert len(keys) == 76


def test_the_commitment_binds_the_seed_without_telling_it():
    """It is in the ledger before the first card; whoever knows the seed later can check it."""
    seed = valve.boarding_seed(KEY, "av", 1)

    assert valve.seed_commitment(seed) == valve.seed_commitment(bytes(seed))
    assert valve.seed_commitment(seed) != valve.seed_commitment(seed[:-1] + b"\0")
    assert seed.hex() not in valve.seed_commitment(seed)


def test_the_bound_for_late_machines_begins_at_one_and_falls_as_they_survive():
    """Twenty that lived speak for about a hundred more at the same risk."""
    bounds = [valve.late_upper(survived, 0) for survived in (0, 1, 20, 100, 500)]

    assert bounds[0] == pytest.approx(1.0)
    assert bounds == sorted(bounds, reverse=True)
    assert 0.2 < bounds[2] < 0.3
    assert bounds[3] < 0.08
    assert valve.late_upper(20, 20) > 0.5
    assert valve.late_upper(0, 5) == pytest.approx(1.0)


@pytest.mark.parametrize("chance", [0.02, 0.2, 0.7])
def test_the_bound_for_late_machines_is_seldom_ever_below_the_truth(chance):
    """Whenever it is asked: 400 releases, looked at after each machine."""
    random = np.random.default_rng(411)
    wrong = 0
    for _ in range(400):
        harmed = np.cumsum(random.random(60) < chance)
        wrong += any(
            valve.late_upper(known - int(bad), int(bad)) < chance
            for known, bad in enumerate(harmed, 1)
        )
    assert wrong <= 400 * valve.LATE_ALPHA
