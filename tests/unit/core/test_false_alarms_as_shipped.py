"""The chance of a false alarm of the judge as it ships, computed exactly: no seed, no luck.

``tests/exact.py`` follows every path of a harmless release. The plain mixture alone, as the
design computed it, is in ``evidence/test_false_alarms.py``; here are the parts that ship around
it: shares, the product of the signals, starting times, the tenth for groups, sealed decks.
"""

import math

import pytest
from tests import exact
from tests.exact import Past, every_past

from firedoor.core.cell import Cell, Test
from firedoor.core.signal import CRASH, SILENCE
from firedoor.core.terms import DEFAULT_STRATA, Policy, resolve
from firedoor.core.verdict import Rules
from firedoor.services.boarding import rules_for

ALPHAS = (0.05, 0.01, 0.001)
CONTROLS_PER_TREATED = (99, 9, 1)
SHARES = dict(rules_for(resolve(Policy(), 3_000), reporting=3_000).shares)


def rules(alpha: float, strata: tuple[str, ...] = DEFAULT_STRATA, liars: int = 0) -> Rules:
    """What a boarding of a fleet with agents is judged by."""
    return Rules(alpha, 0.05, 0.05, 0.01, tuple(SHARES.items()), attributes=strata, liars=liars)


@pytest.mark.parametrize("alpha", ALPHAS)
@pytest.mark.parametrize("controls", CONTROLS_PER_TREATED)
def test_a_signal_with_its_share_gives_no_more_false_alarms_than_promised(controls, alpha):
    """Twenty thousand looks at silence in the hedged product, the other signals quiet."""
    chance = exact.single(controls, alpha, SHARES[SILENCE], horizon=20_000)

    assert 0.1 * alpha < chance <= alpha


@pytest.mark.parametrize("alpha", ALPHAS)
@pytest.mark.parametrize(("controls", "events", "number"), [(99, 200, 3), (9, 60, 4), (1, 40, 3)])
def test_starting_anew_in_every_epoch_gives_no_more_false_alarms(controls, events, number, alpha):
    """Late wealth meets a release that has a past; every past is followed."""
    chance = exact.epochs(controls, alpha, SHARES[SILENCE], events=events, number=number)

    assert 0.1 * alpha < chance <= alpha


@pytest.mark.parametrize("alpha", ALPHAS)
@pytest.mark.parametrize("controls", CONTROLS_PER_TREATED)
def test_two_signals_multiplied_give_no_more_false_alarms_than_one(controls, alpha):
    """The product looks after every event of either; a union bound would have paid for both."""
    shares = (SHARES[SILENCE], SHARES[CRASH])

    assert 0.1 * alpha < exact.two(controls, alpha, shares, events=400) <= alpha


@pytest.mark.parametrize("alpha", ALPHAS)
@pytest.mark.parametrize("controls", CONTROLS_PER_TREATED)
def test_looking_at_every_model_gives_no_more_false_alarms(controls, alpha):
    """The tenth that looks at groups sees the events that the rest has seen already."""
    chance = exact.grouped(controls, alpha, SHARES[SILENCE], events=150)

    assert 0.1 * alpha < chance <= alpha


# The computations are the product


def one_event_a_deck(past: Past, _closing: int) -> Cell:
    """Three epochs of three events each, all of silence."""
    return cell(past, SILENCE, "", events=1, epoch=past.evidence.seq // 3)


def silence_and_crash_in_turns(past: Past, _closing: int) -> Cell:
    """One event each."""
    return cell(past, (SILENCE, CRASH)[past.evidence.seq % 2], "", events=1)


def two_models_in_turns(past: Past, _closing: int) -> Cell:
    """One event each."""
    return cell(past, SILENCE, f"model=m{past.evidence.seq % 2},os=o,site=s", events=1)


@pytest.mark.parametrize(
    ("world", "strata", "computed"),
    [
        (one_event_a_deck, (), lambda a: exact.epochs(9, a, SHARES[SILENCE], 3, 3)),
        (
            silence_and_crash_in_turns,
            (),
            lambda a: exact.two(9, a, (SHARES[SILENCE], SHARES[CRASH]), 5),
        ),
        (two_models_in_turns, DEFAULT_STRATA, lambda a: exact.grouped(9, a, SHARES[SILENCE], 5)),
    ],
)
@pytest.mark.parametrize("alpha", [0.2, 0.05])
def test_what_is_computed_is_what_the_product_does(world, strata, computed, alpha):
    """All paths of ten events through the product's own fold give the same chance."""
    decks = 9 if world is one_event_a_deck else 10
    pasts = list(every_past(rules(alpha, strata), [(1, 9)] * decks, 1, world))

    assert alarms(pasts, alpha) == pytest.approx(computed(alpha), rel=1e-9)


# Sealed decks: labels are hypergeometric, and the world may look


def bursts(past: Past, closing: int) -> Cell:
    """Two or three at once, silence and crashes, models in turns, an epoch for every deck."""
    deck = past.evidence.seq // 3
    return cell(
        past,
        (SILENCE, CRASH)[closing % 2],
        f"model=m{(closing + deck) % 2},os=o,site=s{closing % 2}",
        events=2 + (closing + deck) % 2,
        epoch=deck,
    )


def spiteful(past: Past, closing: int) -> Cell:
    """Strikes where E stands highest, with another number of machines than before."""
    streams = [s for s in past.evidence.streams if s.signal in (SILENCE, CRASH)]
    worst = max(streams, key=lambda stream: stream.log_e)
    model = "a" if past.evidence.log_e > 0.0 else "b"
    events = 3 if past.evidence.log_e > math.log(3.0) else 2
    stratum = f"model={model},os=o,site=s{closing}"
    return cell(past, worst.signal, stratum, events=events, epoch=past.evidence.seq // 2)


def quiet_where_it_wins(past: Past, closing: int) -> Cell:
    """Nothing fails any more once E is above 2: a gambler who leaves while ahead."""
    ahead = past.evidence.log_e > math.log(2.0)
    return cell(past, SILENCE, "model=a,os=o,site=s", events=0 if ahead else 3 - closing)


@pytest.mark.parametrize("world", [bursts, spiteful, quiet_where_it_wins])
@pytest.mark.parametrize("decks", [[(3, 9), (2, 14)], [(4, 4), (5, 3)], [(1, 30), (6, 6)]])
def test_sealed_decks_make_every_world_a_fair_game(decks, world):
    """Given all that is known, E has mean 1 whatever fails next: the theorem, by enumeration."""
    pasts = list(every_past(rules(0.001), decks, 3, world))

    assert math.fsum(past.chance for past in pasts) == pytest.approx(1.0, abs=1e-12)
    mean = math.fsum(past.chance * math.exp(past.evidence.log_e) for past in pasts)
    assert mean == pytest.approx(1.0, abs=1e-9)
    for alpha in ALPHAS:
        assert alarms(pasts, alpha) <= alpha


def test_a_release_that_is_spared_liars_is_accused_less_often():
    """Sparing one liar can only take from E, on every path."""
    decks = [(3, 9), (2, 14)]
    spared = list(every_past(rules(0.001, liars=1), decks, 3, bursts))
    pasts = list(every_past(rules(0.001), decks, 3, bursts))

    assert all(
        one.evidence.log_e <= other.evidence.log_e + 1e-12
        for one, other in zip(spared, pasts, strict=True)
    )
    assert alarms(pasts, 0.05) > 0.0


def test_the_enumeration_finds_a_judge_that_is_wrong():
    """A treated machine that is missing from the exposure makes the game unfair, and it shows."""
    pasts = list(every_past(rules(0.001), [(3, 9), (2, 14)], 3, bursts, forgotten=1))

    mean = math.fsum(past.chance * math.exp(past.evidence.log_e) for past in pasts)
    assert mean > 1.05


def cell(past: Past, signal: str, stratum: str, *, events: int, epoch: int = 0) -> Cell:
    """So many machines fail; ``every_past`` fills in which arms they are of."""
    return Cell(
        seq=past.evidence.seq + 1,
        ring="everyone",
        deck=1,
        epoch=epoch,
        test=Test.HARM,
        signal=signal,
        stratum=stratum,
        treated=events,
        control=0,
        treated_harmed=events,
        control_harmed=0,
    )


def alarms(pasts: list[Past], alpha: float) -> float:
    """Chance that E ever reached 1/alpha."""
    enough = -math.log(alpha)
    return math.fsum(past.chance for past in pasts if past.evidence.max_log_e >= enough)
