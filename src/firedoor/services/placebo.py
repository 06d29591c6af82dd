"""The placebo audit: would the judge have accused good releases more often than it says?

Three questions to the cells of past good releases, each held against a binomial bound:

* *observed*: how many reached the level of the warning on the day?
* *dealt again*: if their cards are dealt again, many times and by fresh chance, how many reach
  it then? Who was harmed is the world's doing and stays as it was, with its sites, bursts and
  outages; only who was treated is drawn anew. Given the world each deal errs with probability
  alpha at most, so the count is at most binomial.
* *unusual*: in how many is the real deal among the worst twentieth of all deals? One in twenty,
  if the cards were dealt by chance; more if labels and harm were connected.

The last is asked where there are 19 deals or more: of fewer none can be one in twenty.

Dealing again needs no places. Of a deck only counts matter: the harmed of a closing are a random
draw from its sealed members, and so are those whose class closes. What is drawn leaves the deck.

Source: evidence.md 2.4 (placebo audit).
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import reduce
from typing import Final

import numpy as np

from firedoor.core.cell import Cell, Test
from firedoor.core.verdict import Rules, absorb, start

UNUSUAL: Final = 0.05
"""A deal is unusual if this share of all deals at most speaks as loudly."""

LEAST_DEALS: Final = 19
"""With fewer no deal can be among the loudest twentieth of all: the question is not asked."""

_SURE: Final = 0.01  # chance that a question without a cause for it is answered with no


@dataclass(frozen=True, slots=True)
class Trial:
    """One past good release.

    Attributes:
        number: Boarding number.
        alpha: Level it is held against, in (0, 1).
        max_log_e: The largest ln E of harm on the day.
        dealt: The same for each deal; empty where its cells cannot be dealt again.
    """

    number: int
    alpha: float
    max_log_e: float
    dealt: tuple[float, ...]

    @property
    def warned(self) -> bool:
        """Whether it had a warning on the day."""
        return self.max_log_e >= -math.log(self.alpha)

    @property
    def is_unusual(self) -> bool:
        """Whether few deals speak as loudly as the real one."""
        if not self.dealt:
            return False
        as_loud = sum(log_e >= self.max_log_e - _ROUNDING for log_e in self.dealt)
        return (1 + as_loud) / (1 + len(self.dealt)) <= UNUSUAL


_ROUNDING: Final = 1e-9


@dataclass(frozen=True, slots=True)
class Answer:
    """One question of the audit.

    Attributes:
        asked: Of how many.
        alarms: How many reached the level.
        most: More than these are no chance.
    """

    asked: int
    alarms: int
    most: int

    @property
    def passed(self) -> bool:
        """Whether it is what was promised."""
        return self.alarms <= self.most


@dataclass(frozen=True, slots=True)
class Audit:
    """What the audit of a channel found.

    Attributes:
        observed: Good releases on the day.
        dealt: Their cells dealt again.
        unusual: Releases whose real deal is among the loudest.
    """

    observed: Answer
    dealt: Answer
    unusual: Answer

    @property
    def passed(self) -> bool:
        """Whether all three are what was promised."""
        return self.observed.passed and self.dealt.passed and self.unusual.passed


def tried(
    number: int, rules: Rules, cells: Sequence[Cell], *, deals: int, chance: np.random.Generator
) -> Trial:
    """Judge one release as it was, and as it would have been with other cards.

    Args:
        number: Boarding number.
        rules: As it was judged.
        cells: Of the boarding, in order.
        deals: How often its cards are dealt again, >= 0.
        chance: Deals them.
    """
    deciding = {signal for signal, share in rules.shares if share > 0.0}
    counted = [c for c in cells if c.test is not Test.HARM or c.signal in deciding]
    harms = [cell for cell in counted if cell.test is Test.HARM]
    dealt = [loudest(rules, again) for _ in range(deals) if (again := deal_again(counted, chance))]
    if not harms:
        dealt = [0.0] * deals
    return Trial(number, rules.alpha_warn, loudest(rules, harms), tuple(dealt))


def loudest(rules: Rules, harms: Iterable[Cell]) -> float:
    """The largest ln E over harm cells, in order; >= 0."""
    numbered = (replace(cell, seq=seq) for seq, cell in enumerate(harms, 1))
    return reduce(absorb, numbered, start(replace(rules, past=()))).max_log_e


def deal_again(cells: Iterable[Cell], chance: np.random.Generator) -> list[Cell]:
    """Harm cells as they would be if other cards had been dealt; empty where nobody can say.

    A deck that has not closed, or of which records were lost, cannot be dealt again.
    """
    known = list(cells)
    decks = {(c.ring, c.deck): _Deck.of(known, c) for c in known}
    again = []
    for cell in known:
        deck = decks[cell.ring, cell.deck]
        if cell.test is Test.HARM:
            other = deck.harm(cell, chance)
            if other is None:
                return []
            again.append(other)
        elif cell.test is Test.CLEARANCE and not deck.mature(cell, chance):
            return []
    return again


def asked(trials: Sequence[Trial]) -> Audit:
    """Sum up the trials of a channel."""
    dealt = [(log_e, t.alpha) for t in trials for log_e in t.dealt]
    ranked = [t for t in trials if len(t.dealt) >= LEAST_DEALS]
    return Audit(
        observed=_answer([(t.max_log_e, t.alpha) for t in trials]),
        dealt=_answer(dealt),
        unusual=Answer(
            len(ranked),
            sum(t.is_unusual for t in ranked),
            most_by_chance(len(ranked), UNUSUAL),
        ),
    )


def most_by_chance(trials: int, alpha: float) -> int:
    """The largest count that chance still gives with a probability above one in a hundred."""
    left, count = 1.0, 0
    while count < trials:
        left -= _chance_of(count, trials, alpha)
        if left <= _SURE:
            break
        count += 1
    return count


def _answer(found: Sequence[tuple[float, float]]) -> Answer:
    alpha = max((alpha for _, alpha in found), default=UNUSUAL)
    alarms = sum(log_e >= -math.log(level) for log_e, level in found)
    return Answer(len(found), alarms, most_by_chance(len(found), alpha))


def _chance_of(count: int, trials: int, alpha: float) -> float:
    ways = math.lgamma(trials + 1) - math.lgamma(count + 1) - math.lgamma(trials - count + 1)
    return math.exp(ways + count * math.log(alpha) + (trials - count) * math.log1p(-alpha))


@dataclass(slots=True)
class _Block:
    """Sealed members among whom all labels are equally likely: (treated, control).

    Attributes:
        real: As they were.
        other: As they are dealt now.
    """

    real: tuple[int, int]
    other: tuple[int, int]

    def draw(self, real: tuple[int, int], chance: np.random.Generator) -> tuple[int, int] | None:
        """Take some members out; whom was settled by the world, their cards are drawn now."""
        many = sum(real)
        if self.real[0] < real[0] or self.real[1] < real[1]:
            return None
        treated = int(chance.hypergeometric(*self.other, many)) if many else 0
        drawn = treated, many - treated
        self.real = self.real[0] - real[0], self.real[1] - real[1]
        self.other = self.other[0] - drawn[0], self.other[1] - drawn[1]
        return drawn


@dataclass(slots=True)
class _Deck:
    blocks: list[_Block]

    @classmethod
    def of(cls, cells: Iterable[Cell], like: Cell) -> "_Deck":
        """The deck of a cell, before anything of it was known."""
        members = [
            (c.treated, c.control)
            for c in cells
            if c.test is Test.CLEARANCE and (c.ring, c.deck) == (like.ring, like.deck)
        ]
        whole = sum(m1 for m1, _ in members), sum(m0 for _, m0 in members)
        return cls([_Block(whole, whole)])

    def harm(self, cell: Cell, chance: np.random.Generator) -> Cell | None:
        """The cell as these cards give it."""
        at_risk = cell.treated, cell.control
        block = next((block for block in self.blocks if block.real == at_risk), None)
        if block is None:
            return None
        treated, control = block.other
        drawn = block.draw((cell.treated_harmed, cell.control_harmed), chance)
        if drawn is None:
            return None
        return replace(
            cell,
            treated=treated,
            control=control,
            treated_harmed=drawn[0],
            control_harmed=drawn[1],
        )

    def mature(self, cell: Cell, chance: np.random.Generator) -> bool:
        """A class leaves the first block; those that nothing was told of are a block from now on.

        Its harmed have left already.
        """
        well = cell.treated - cell.treated_harmed, cell.control - cell.control_harmed
        drawn = self.blocks[0].draw(well, chance)
        if drawn is None:
            return False
        self.blocks.append(_Block(well, drawn))
        return True
