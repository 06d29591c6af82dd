"""The valve: how many unproven machines may be in flight, and who draws which card.

Admission is a *sealed deck*. A deck of ``n`` cards has exactly ``a`` treated ones; each eligible
machine that polls takes the next card; nobody's label is read before its class has closed. All
arrangements are equally likely, so that given everything that happens to machines, the labels
of the sealed members stay uniform: that is the whole proof (cohorts.md 2), and it holds for any
failure rate, any correlation and any schedule that reads closed labels only.

The invariants I1 to I8 of cohorts.md live here and in ``services.judging``:
  I1 room is computed from revealed labels only;   I2 one entry rule for both arms (next card);
  I4 one sealed membership per machine;            I6 a deck is cut without a look at its labels.
"""

import hashlib
import hmac
import math
from dataclasses import dataclass

CONTROLS_PER_TREATED = 9
"""r of cohorts.md 1.2: more controls than this add little evidence."""

SMALLEST_DECK = 2
"""One treated and one to compare it with."""

DECKS_TO_FILL = 2
"""Fewest decks in which a wide window is to be filled."""

DEADLINE_TO_FILL = 0.5
"""The same as a share of the time for which a machine is in flight."""

LEAST_CONTROLS = 1000
"""A deck with fewer controls than this keeps nine for each treated machine, however slowly it is
drawn: while few have installed, harm is proved by them."""

HARMED_TO_PROVE = 100
"""At alpha .001 about as many harmed machines prove that a release doubles what fails anyway, with
one control for each treated machine."""

LOCKED_SHARE = 0.1
"""Largest share of a ring's machines that long decks may lock."""

LATE_ALPHA = 0.05
"""Chance that the bound for late machines is ever below the truth."""

_HALVINGS = 40
_RANGE = 1 << 256


@dataclass(frozen=True, slots=True)
class Deal:
    """Size of a deck.

    Attributes:
        treated: Treated cards, a >= 1.
        cards: All cards, n >= a; n == a only in the reserve, which has no control.
    """

    treated: int
    cards: int


def room(*, budget: float, upper: float, in_flight: int, debt: float) -> int:
    """Machines that may be admitted now.

    Args:
        budget: Harm budget B: machines an unproven release may put at risk, >= 1.
        upper: U_t, anytime-valid upper bound on the excess harm per installed machine, in (0, 1].
        in_flight: Treated machines whose class has not closed, count >= 0.
        debt: Machines harmed in excess of chance so far, >= 0. A harmed machine keeps its slot.

    Returns:
        floor(B / U) - in_flight - ceil(debt), never below 0.

    Source: cohorts.md 1.4; evidence.md 2.9.
    """
    window_now = window(budget, upper)
    return max(0, window_now - in_flight - math.ceil(debt - 1e-9))


def window(budget: float, upper: float) -> int:
    """The whole window W = floor(B / U): machines in flight and harmed together."""
    return math.floor(budget / upper + 1e-9)


def late_upper(survived: int, harmed: int) -> float:
    """Upper bound of the chance that a machine that was late is harmed, by those known.

    Valid at whatever moment it is asked, at ``LATE_ALPHA``, where all have the same chance: a
    mixture over all rates against each (Robbins 1970). Nobody is compared with, so what fails
    anyway counts.

    Args:
        survived: Late machines that were heard a deadline after it took effect, count >= 0.
        harmed: Those that were not, or told of harm, count >= 0.

    Returns:
        In (0, 1], 1 before the first.
    """
    if not survived:
        return 1.0
    known = survived + harmed
    mixed = math.lgamma(harmed + 1) + math.lgamma(survived + 1) - math.lgamma(known + 2)
    low, high = harmed / known, 1.0
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        against = mixed - harmed * math.log(middle) - survived * math.log1p(-middle)
        low, high = (low, middle) if against >= -math.log(LATE_ALPHA) else (middle, high)
    return high


def beyond_chance(*, treated: int, control: int, treated_harmed: int, control_harmed: int) -> float:
    """Machines that a release harmed in a closed class, less those that fail anyway.

    Controls show what fails anyway: as large a share of the treated as of themselves. The share
    that chance has of all who were harmed, K R1/(R1+R0), is more: part of them was harmed by the
    release. What it leaves is R0/(R1+R0) of the harm, half of it in a fleet where as many are
    treated as are not, and a budget would be spent twice.

    Args:
        treated: R1, treated members at risk, count >= 0.
        control: R0, control members at risk, count >= 0; 0: nobody can say what would have failed
            anyway, and all who were harmed count.
        treated_harmed: Of the treated, in 0..R1.
        control_harmed: Of the controls, in 0..R0.

    Returns:
        x1 - x0 R1/R0, unbiased for the harm that the release did; below 0 where controls had bad
        luck, so that luck cancels in the sum over classes.

    Source: ADR 0033; cohorts.md 1.4 has the smaller one.
    """
    return treated_harmed - (control_harmed * treated / control if control else 0.0)


def growth(share: float, background: int) -> float:
    """Slots that a budget gains with what fails anyway, machines >= 0.

    Args:
        share: x of the policy, in [0, 1): one more slot for every 1/x that failed.
        background: Control machines that were harmed in closed cells of the ring, count >= 0.
            They have the previous release, so nothing the release does makes them fail; and
            closed cells are known, so the room reads no sealed label.

    Returns:
        x X0. With B + x X0 in the place of B, a bound U that holds gives: the machines in
        flight are expected to bring at most B + x X0 harmed ones beyond chance.

    Source: ADR 0018.
    """
    return share * background


def reserve(*, active: int, control: float) -> int:
    """Machines of a ring that are kept to compare with to the end: ``control`` of it, at least 1.

    Args:
        active: Active machines of the ring, >= 0.
        control: Share of the ring, in (0, 1).
    """
    return max(1, math.floor(control * active))


def deal(
    *,
    room: int,
    free: int,
    untreated: int,
    active: int,
    control: float,
    quiet: bool,
    drawn: float = 0.0,
    tried: bool = False,
) -> Deal | None:
    """Choose the next deck, or none.

    Args:
        room: Free slots of the window.
        free: Machines of the ring that may draw a card now: seasoned, not treated, not sealed.
        untreated: Active machines of the ring that are not treated, >= free.
        active: Machines of the ring that polled lately.
        control: Smallest share of controls in a deck, and of the ring in the reserve, in (0, 1).
        quiet: All treated machines have matured and soaked, and the harm e-process is below
            its warning level: the condition for admitting the reserve.
        drawn: Cards that are likely to be drawn in the time in which the room should be filled
            (``filling``), >= 0; 0 for unknown. Where a tenth of them is less than the room, more
            than a tenth of the cards of a large deck are treated ..
        tried: .. and, if harm as large as is not excluded would have shown by now (``is_tried``),
            more than half of them, too.

    Returns:
        The deck, or None when there is nothing to deal. The reserve is dealt without a control
        arm, only when ``quiet``, and never beyond the room: where it is larger it is walked, one
        deck after the other. A deck without a control has a harm factor of exactly 1, so it adds
        no evidence of harm and takes nothing from the proof; what comes to harm in it counts as
        debt in full, so all its decks together harm no more than the window holds.
    """
    if room < 1 or free < 1:
        return None
    kept = reserve(active=active, control=control)
    if untreated <= kept:
        last = min(free, room)
        return Deal(last, last) if quiet else None
    if free < SMALLEST_DECK:
        return None
    spare = untreated - free
    # One at least: where the share of control rounds a small deck down to nobody, a door would
    # stand for ever, and the rest of the deck is control all the same.
    share = max(1, math.floor((1 - control) * free))
    treated = min(room, share, free - max(0, kept - spare))
    cards = (1 + CONTROLS_PER_TREATED) * treated
    if drawn > 0.0:
        least = LEAST_CONTROLS if tried else max(LEAST_CONTROLS, treated)
        cards = min(cards, max(math.ceil(treated * drawn / room), treated + least))
    cards = max(cards, math.ceil(treated / (1 - control)), treated + 1)
    # Never more cards than machines to draw them, also where the division was rounded up.
    return Deal(treated, min(cards, free))


def shadow_deal(*, free: int, control: float) -> Deal | None:
    """The next deck of a door that holds nothing: all who have not got the release, in one.

    Args:
        free: Machines that neither have the release nor ever drew a card of it.
        control: Share that waits for one deadline, in [0, 1); with 0 there is nobody to compare
            with.

    Returns:
        The deck, or None where there is nobody, or nobody to compare with.
    """
    if free < (SMALLEST_DECK if control else 1):
        return None
    return Deal(min(free - 1, math.floor((1 - control) * free)) if control else free, free)


def is_long(*, cards: int, locked: int, active: int) -> bool:
    """Whether a deck's members are watched beyond their deadline for late harm.

    They are locked that long: the treated are compared with controls that keep the previous
    release. So only decks that lock few are long: the first ones, while few are exposed.

    Args:
        cards: Cards of the deck.
        locked: Members of the ring's long decks whose classes have not been released.
        active: Active machines of the ring.
    """
    return cards + locked <= LOCKED_SHARE * active


def patience(polls_per_bucket: float, gap_buckets: float) -> int:
    """Longest life of a deck in buckets: time for about 200 free machines to poll.

    Args:
        polls_per_bucket: Sessions that free machines begin in a bucket, >= 0.
        gap_buckets: Median time between two sessions of a machine, in buckets; 0 for unknown.

    Returns:
        Between one bucket and the median gap, and never more than 60 buckets: a deck must not
        wait for a fleet that is asleep. A cut by time looks at no label.

    Source: cohorts.md 1.2 and 4.4.
    """
    longest = min(60, max(1, math.ceil(gap_buckets))) if gap_buckets > 0 else 60
    if polls_per_bucket <= 0:
        return longest
    return max(1, min(longest, math.ceil(200 / polls_per_bucket)))


def filling(life: float, deadline: float) -> float:
    """Time in which a wide window should be filled: in it, so many cards are likely to be drawn.

    A tenth of the cards treated would leave a wide window empty in a large fleet, for ever; all
    of it at once would leave few controls beside the treated, whom the bound then is wide for,
    and nobody to follow before all of these have matured.

    Args:
        life: Of a deck, > 0.
        deadline: For how long a machine is in flight, in the same unit, >= 0.
    """
    return max(DECKS_TO_FILL * life, DEADLINE_TO_FILL * deadline)


def is_tried(*, installed: int, upper: float) -> bool:
    """Whether harm of the size that is not excluded yet would have been proved by now.

    Args:
        installed: Machines that have matured with the release, count >= 0.
        upper: U_t.
    """
    return installed * upper >= HARMED_TO_PROVE


def boarding_seed(root: bytes, channel: str, number: int, nonce: str = "") -> bytes:
    """Secret of one boarding: HMAC(root key, channel, number, nonce).

    The nonce is drawn for the boarding and stored with it: a number that comes again, after a
    backup was restored, has another seed.
    """
    text = f"firedoor/boarding/1\n{channel}\n{number}\n{nonce}"
    return hmac.digest(root, text.encode(), "sha256")


def seed_commitment(seed: bytes) -> str:
    """What the ledger says of the seed before the first poll is answered: its SHA-256."""
    return hashlib.sha256(b"firedoor/seed/1\n" + seed).hexdigest()


def deck_key(seed: bytes, release: str, ring: str, deck: int) -> bytes:
    """Key of one deck; whoever knows the seed can deal it again and audit who was chosen."""
    return hmac.digest(seed, f"firedoor/deck/1\n{release}\n{ring}\n{deck}".encode(), "sha256")


def is_treated(key: bytes, card: int, *, treated_left: int, cards_left: int) -> bool:
    """Turn over one card.

    Dealing card by card with chance ``treated_left / cards_left`` gives each of the
    C(n, a) arrangements the same probability, to within 2^-256, without storing the deck.

    Args:
        key: The deck's key.
        card: Position of the card, from 0.
        treated_left: Treated cards not yet turned, in 0..cards_left.
        cards_left: Cards not yet turned, this one included, >= 1.
    """
    if not 0 <= treated_left <= cards_left or cards_left < 1:
        raise ValueError(f"{treated_left} treated among {cards_left} cards")
    drawn = int.from_bytes(hmac.digest(key, card.to_bytes(8, "big"), "sha256"), "big")
    return drawn * cards_left < treated_left * _RANGE


def arrangement(key: bytes, deck: Deal) -> tuple[bool, ...]:
    """Deal a whole deck at once, shape (cards,): for audits and tests."""
    left = deck.treated
    cards: list[bool] = []
    for card in range(deck.cards):
        label = is_treated(key, card, treated_left=left, cards_left=deck.cards - card)
        left -= label
        cards.append(label)
    return tuple(cards)
