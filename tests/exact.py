"""Chances of a false alarm, computed and not sampled: every path, every event a look.

A release that does no harm is followed through all that its cards can be. What is computed is
the chance that E ever reaches 1/alpha; the wealth is moved by ``core.evidence``.

``single``     one signal with its share, in a first epoch that does not end
``epochs``     the same with the starting times as shipped: a few epochs, a wealth for every past
``two``        two signals multiplied, their events in turns
``grouped``    one signal whose machines are of two models, and whose share looks at models
``every_past`` sealed decks through ``core.verdict`` itself, a world that may look at all cards
               that are known before it chooses who fails next
"""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np

from firedoor.core.cell import Cell
from firedoor.core.evidence import harm, merge, mixture
from firedoor.core.evidence.counts import Counts, Floats
from firedoor.core.evidence.mixture import Wealth
from firedoor.core.stream import GROUPS
from firedoor.core.verdict import Evidence, Rules, absorb, start

_OPENED = mixture.open_through(mixture.start(1), 0).placed

_DUST = 1e-14
"""A past less likely than this is followed no further: it counts as an alarm."""


def factors(controls_per_treated: int) -> tuple[Floats, Floats]:
    """Log of f of an event that hits a treated machine, and of one that hits a control."""
    plain = harm.plain(Counts.of(1, controls_per_treated, [1, 0], [0, 1]))
    linear = harm.linear(Counts.of(1, controls_per_treated, [1, 0], [0, 1]))
    # With one event a cell E is that of either half.
    assert np.allclose(plain, linear, rtol=0, atol=1e-12)
    hit, miss = plain
    return hit, miss


def needed(alpha: float, share: float) -> float:
    """Log of E that a signal with this share needs, if no other signal has moved."""
    return math.log((1.0 / alpha - (1.0 - share)) / share)


def single(controls_per_treated: int, alpha: float, share: float, horizon: int) -> float:
    """One signal in the hedged product, in a first epoch of ``horizon`` events."""
    w, (hit, miss) = 1 / (1 + controls_per_treated), factors(controls_per_treated)
    enough, bound, halted = needed(alpha, share), 0, 0.0
    alive = np.zeros(horizon + 2)
    alive[0] = 1.0
    for n in range(1, horizon + 1):
        # E falls with a control event and rises with a treated one: the bound moves by 0 or 1.
        while _first_epoch(bound * hit + (n - bound) * miss)[0] < enough:
            bound += 1
        stepped = alive[: bound + 1] * (1 - w)
        stepped[1:] += alive[:bound] * w
        halted += stepped[bound]
        stepped[bound] = 0.0
        alive[: bound + 1] = stepped
    return float(halted)


def epochs(
    controls_per_treated: int, alpha: float, share: float, events: int, number: int
) -> float:
    """One signal with its starting times: ``number`` epochs of so many events each.

    A past is the number of treated among the events of each epoch that is over; the wealth on
    each ratio depends on nothing else.
    """
    w, (hit, miss) = 1 / (1 + controls_per_treated), factors(controls_per_treated)
    enough, halted = needed(alpha, share), 0.0
    placed, chance = np.full((1, len(hit)), -np.inf), np.ones(1)
    for epoch in range(number):
        opened = np.full(len(placed), epoch)
        placed = mixture.open_through(Wealth(placed, opened), epoch).placed
        alive, alarmed = _through_epoch(placed, chance, (hit, miss), w, (enough, events, epoch))
        halted += alarmed
        past, treated = np.nonzero(alive > _DUST)
        chance = alive[past, treated]
        halted += alive.sum() - chance.sum()
        placed = placed[past] + treated[:, None] * hit + (events - treated)[:, None] * miss
    return float(halted)


def _through_epoch(
    placed: Floats,
    chance: Floats,
    bets: tuple[Floats, Floats],
    w: float,
    setting: tuple[float, int, int],
) -> tuple[Floats, float]:
    """Let every past live through an epoch; chances by (past, treated), and those of alarms."""
    (hit, miss), (enough, events, number) = bets, setting
    rows, halted = np.arange(len(placed)), 0.0
    bound = np.zeros(len(placed), np.int64)
    alive = np.zeros((len(placed), events + 2))
    alive[:, 0] = chance
    for n in range(1, events + 1):
        low = rows
        while len(low):
            moved = bound[low, None] * hit + (n - bound[low])[:, None] * miss
            wealth = Wealth(placed[low] + moved, np.full(len(low), number + 1))
            low = low[(mixture.log_e(wealth) < enough) & (bound[low] <= n)]
            bound[low] += 1
        alive[:, 1:] = alive[:, 1:] * (1 - w) + alive[:, :-1] * w
        alive[:, 0] *= 1 - w
        over = np.arange(events + 2) >= bound[:, None]
        halted += float(alive[over].sum())
        alive[over] = 0.0
    return alive, halted


def two(controls_per_treated: int, alpha: float, shares: tuple[float, float], events: int) -> float:
    """Two signals, their events in turns, so many of each; E is looked at after every one."""
    w, (hit, miss) = 1 / (1 + controls_per_treated), factors(controls_per_treated)
    one, other = (partial(_hedged, hit=hit, miss=miss, share=share) for share in shares)
    return _in_turns(
        w, events, lambda n1, n2: one(n1)[:, None] + other(n2)[None, :] >= -math.log(alpha)
    )


def grouped(controls_per_treated: int, alpha: float, share: float, events: int) -> float:
    """One signal, events of two models in turns; of sites and systems there is but one each."""
    w, (hit, miss) = 1 / (1 + controls_per_treated), factors(controls_per_treated)

    def alarms(n1: int, n2: int) -> np.ndarray:
        first, second = (_log_e(n, hit, miss) for n in (n1, n2))
        b = np.add.outer(np.arange(n1 + 1), np.arange(n2 + 1))
        together = _log_e(n1 + n2, hit, miss)[b]
        models, places = (
            np.array(
                [
                    sum(np.logaddexp(math.log1p(-u), math.log(u) + e) for e in some)
                    for u in merge.SPREADS
                ]
            )
            for some in ((first[:, None], second[None, :]), (together,))
        )
        by_attribute = [mixture.log_sum(each, axis=0) for each in (models, places, places)]
        groups = mixture.log_sum(np.array(by_attribute), axis=0)
        groups -= math.log(len(by_attribute) * len(merge.SPREADS))
        log_e = np.logaddexp(math.log1p(-GROUPS) + together, math.log(GROUPS) + groups)
        return log_e >= needed(alpha, share)

    return _in_turns(w, events, alarms)


def _in_turns(w: float, events: int, alarms: Callable[[int, int], np.ndarray]) -> float:
    """Events of one kind and another in turns; ``alarms`` says at which counts E is too large."""
    alive, halted = np.ones((1, 1)), 0.0
    for n in range(1, 2 * events + 1):
        axis = (n + 1) % 2
        grown = np.zeros((alive.shape[0] + 1 - axis, alive.shape[1] + axis))
        grown[: alive.shape[0], : alive.shape[1]] += alive * (1 - w)
        grown[1 - axis :, axis:] += alive * w
        over = alarms((n + 1) // 2, n // 2)
        halted += float(grown[over].sum())
        grown[over] = 0.0
        alive = grown
    return halted


def _log_e(n: int, hit: Floats, miss: Floats) -> Floats:
    """Log of E of one stream after n events of which 0..n were treated, all in epoch 0."""
    b = np.arange(n + 1)[:, None]
    return _first_epoch(b * hit + (n - b) * miss)


def _first_epoch(moved: Floats) -> Floats:
    """Log of E where the bets have moved by so much since epoch 0 began, and no other has begun."""
    rows = np.atleast_2d(moved)
    return mixture.log_e(Wealth(_OPENED + rows, np.ones(len(rows), np.int64)))


def _hedged(n: int, *, hit: Floats, miss: Floats, share: float) -> Floats:
    return np.logaddexp(math.log1p(-share), math.log(share) + _log_e(n, hit, miss))


@dataclass(frozen=True, slots=True)
class Past:
    """One way in which the cards can have fallen.

    Attributes:
        chance: Of it.
        evidence: What the judge made of it.
        treated: Sealed treated members of the deck.
        control: Sealed control members.
    """

    chance: float
    evidence: Evidence
    treated: int
    control: int


World = Callable[[Past, int], Cell]
"""What fails next: a cell with K = ``treated_harmed`` events, whose arms nobody knows yet; may
look at everything that is known."""


def every_past(
    rules: Rules,
    decks: Sequence[tuple[int, int]],
    closings: int,
    world: World,
    *,
    forgotten: int = 0,
) -> Iterator[Past]:
    """All ways through sealed decks of (treated, control) cards, each closed so many times.

    ``forgotten`` treated machines of every deck are left out of what the judge is told to be at
    risk: a mistake, for those who want to see that it shows.
    """
    pasts = [Past(1.0, start(rules), 0, 0)]
    for treated, control in decks:
        pasts = [replace(past, treated=treated, control=control) for past in pasts]
        for closing in range(closings):
            pasts = [
                after for past in pasts for after in _cards(past, world(past, closing), forgotten)
            ]
    yield from pasts


def _cards(past: Past, asked: Cell, forgotten: int) -> Iterator[Past]:
    """Draw the cards of those who fail: hypergeometric, given all that is known."""
    total = past.treated + past.control
    events = min(asked.treated_harmed, total)  # nobody fails who is not there
    for x1 in range(max(0, events - past.control), min(events, past.treated) + 1):
        ways = math.comb(past.treated, x1) * math.comb(past.control, events - x1)
        cell = replace(
            asked,
            treated=max(x1, past.treated - forgotten),
            control=past.control,
            treated_harmed=x1,
            control_harmed=events - x1,
        )
        yield Past(
            past.chance * ways / math.comb(total, events),
            absorb(past.evidence, cell),
            past.treated - x1,
            past.control - (events - x1),
        )
