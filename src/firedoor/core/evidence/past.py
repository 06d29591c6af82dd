"""What past good releases of a channel showed: the counts behind the history test.

Only cells that are written at every look, whether or not anybody was harmed, are an exposure:

* clearance cells: each treated member of a matured class is at risk once, from the cut of its
  deck to its deadline, and harmed if any signal that decides told of it by then (``any``);
* late cells of silence: each member of a matured class that nothing was told of is at risk once
  at every later look, and harmed if it was silent (``silence``);
* late cells of what was told: the seconds that all sealed members were listened to since the
  last look, and those that said within them that they were harmed (``told-early`` up to the
  first of the looks above, then ``told``). Decks live as long as machines take to poll, so these
  are counted by time and not by looks. Their ages are those of the members, since their cards.
  A release that is judged has all seconds of an age against it from the moment in which its
  members come to it (``Cell.treated``): when in an age things fail, nobody knows. The past has
  those that it was really listened to (``Cell.installed``). Before and after the first look an age
  has one rate (``rates``).

Harm cells are written only where somebody was harmed, so their totals are no exposure. In a first
look, and in what was told early, controls do not count: they installed nothing. Later they do:
deadlines after the cut both arms have lived with a good release for long, and without them a late
watch, which treats few, would know nothing for years. Rings are kept apart: every release begins
in the same rings, and compared with the whole fleet a lively laboratory would be harmed each time.

A machine that said something is harmed at the next look of clearance as well. So what was told
is one e-process and the looks are another, and the two are merged by their mean.

The counts add up over decks and releases. They are fixed when a release boards, and are in the
ledger before its first deck.

Source: evidence.md 2.6; ADR 0016 and 0029.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import zip_longest
from typing import Final

from firedoor.core.cell import MOST_MACHINES, TOLD_EDGES_MS, Cell, Test
from firedoor.core.evidence import history
from firedoor.core.signal import TOLD, TOLD_EARLY

MOST_BUCKETS: Final = 60
"""More are not kept, those with the largest exposure first: an entry of the ledger has bounds.

Looks count machines, what was told counts their seconds: the first of each of the two is kept
before the second of either, or seconds would leave no look. Of what was told the youngest ages
come first, whatever their exposure: most harm is done there, and they are the shortest.
"""

Place = tuple[str, str, int]
"""Ring, signal, age bucket of the look."""


@dataclass(frozen=True, slots=True)
class PastBucket:
    """What happened in one ring at looks of one kind and age.

    Attributes:
        ring: Ring.
        signal: ``any`` for first looks, ``silence`` for later ones, ``told-early`` or ``told``
            for what was said.
        age: Bucket of the time since the cut, or for what was said since the card, as in
            ``core.cell``.
        events: Members harmed, count >= 0; of first looks and ``told-early`` the treated alone.
        exposure: Members at risk, or their seconds, likewise, count >= events.
    """

    ring: str
    signal: str
    age: int
    events: int
    exposure: int

    def __post_init__(self) -> None:
        """Refuse counts that cannot be."""
        if not 0 <= self.events <= self.exposure:
            raise ValueError(f"{self.events} of {self.exposure} machines were harmed")


def is_look(cell: Cell) -> bool:
    """Say whether a cell is written at every look, and so is an exposure."""
    return cell.test in (Test.CLEARANCE, Test.LATE)


def row_of(signal: str) -> int:
    """Which of the two e-processes a look belongs to: 1 for what was told."""
    return int(signal in (TOLD_EARLY, TOLD))


def place_of(cell: Cell) -> Place:
    """With what of the past a look is compared."""
    return cell.ring, cell.signal, cell.age


def summed(releases: Iterable[Iterable[Cell]], liars: int = 0) -> tuple[PastBucket, ...]:
    """Add up the looks of past good releases, in the order of their places.

    Args:
        releases: The cells of each; where there are liars, each look by itself.
        liars: Machines of each that may have kept quiet then to be believed now, >= 0. They have
            lent it the exposure that they were, and no more is taken off than they can have been;
            what they said stays. In the age without an end that cannot be said of what was told,
            so that nothing is known of it.
    """
    events: dict[Place, int] = defaultdict(int)
    exposure: dict[Place, int] = defaultdict(int)
    for release in releases:
        seen: dict[Place, int] = defaultdict(int)
        looks: dict[Place, Counter[int]] = defaultdict(Counter)
        for cell in filter(is_look, release):
            place, late = place_of(cell), cell.test is Test.LATE and cell.signal != TOLD_EARLY
            events[place] += cell.treated_harmed + late * cell.control_harmed
            told = row_of(cell.signal)
            seen[place] += cell.installed if told else cell.treated + late * cell.control
            looks[place][cell.deck] += 1
        for place, total in seen.items():
            lent = liars * _most_of_one(place, looks[place]) if liars else 0
            exposure[place] += max(0, total - lent)
    # Rounded down it may be less than a second each.
    exposure = {place: max(seconds, events[place]) for place, seconds in exposure.items()}
    found = sorted((p for p in exposure if exposure[p]), key=lambda p: (-exposure[p], p))
    first_looks, told_of = ([place for place in found if row_of(place[1]) == row] for row in (0, 1))
    told_of.sort(key=lambda place: (place[1] != TOLD_EARLY, place[2]))
    turns = (place for turn in zip_longest(first_looks, told_of) for place in turn)
    first: list[Place] = [place for place in turns if place is not None]
    kept = sorted(first[:MOST_BUCKETS])
    return tuple(PastBucket(*place, events[place], exposure[place]) for place in kept)


def _most_of_one(place: Place, looks: Counter[int]) -> int:
    """The most that one machine can have been of a release's exposure at a place."""
    _, signal, age = place
    if not row_of(signal):
        return max(looks.values())  # it is in one deck, and once in each of its looks
    if age == len(TOLD_EDGES_MS):
        return MOST_MACHINES
    begin = TOLD_EDGES_MS[age - 1] if age else 0
    return (TOLD_EDGES_MS[age] - begin) // 1000


def rates(past: Iterable[PastBucket], alpha_ref: float) -> dict[Place, float]:
    """Upper bounds of the rates of past good releases, events per machine at risk or second.

    Args:
        past: What they showed.
        alpha_ref: Chance that any of the bounds is below its true rate, in (0, 1).

    Returns:
        What was told early and later has one rate an age, the higher of the two, also where but
        one is known: the first look at a deck may come in the midst of an age, and sooner or
        later than it did in the past. Who came to the age before it has all its seconds against
        it once, for what is said on either side.
    """
    counts = {(p.ring, p.signal, p.age): history.Past(p.events, p.exposure) for p in past}
    found = history.reference(counts, alpha_ref)
    for ring, signal, age in counts:
        if row_of(signal):
            both = [(ring, each, age) for each in (TOLD_EARLY, TOLD)]
            found |= dict.fromkeys(both, max(found[place] for place in both if place in found))
    return found
