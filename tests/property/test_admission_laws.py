"""Laws of the sealed deck at the gate: what polls, failing disks and kills can never change."""

import dataclasses
import random
from collections import Counter

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from firedoor.core import valve
from firedoor.core.board import ChannelBoard, Grant, Lane
from firedoor.core.cell import Cell
from firedoor.core.signal import CRASH, Reports
from firedoor.core.valve import Deal
from firedoor.services.admission import Admission
from firedoor.services.places import Cut, Place
from firedoor.services.pools import Pool, close_class, count_events
from firedoor.services.records import StoredPlace
from firedoor.services.roster import Roster

HOUR = 3_600_000
KEY = bytes(range(32))

deals = st.integers(2, 40).flatmap(
    lambda cards: st.builds(Deal, st.integers(1, cards - 1), st.just(cards))
)


def grant(deck: Deal, number: int = 1, key: bytes = KEY) -> Grant:
    return Grant(number, deck.cards, deck.treated, key.hex(), HOUR)


def board(leave: Grant | None, **lane: object) -> ChannelBoard:
    plain = Lane("everyone", base=1, candidate=2, grant=leave)
    return ChannelBoard("av", (dataclasses.replace(plain, **lane),))  # type: ignore[arg-type]  # a test's words


class Gate:
    """Admission whose machines are all seasoned, and what of it is on disk."""

    def __init__(self, machines: int, leave: Grant | None) -> None:
        self.now = 100 * HOUR
        self.machines = machines
        self.leave = leave
        self.places: list[Place] = []
        self.cuts: list[Cut] = []
        self.start()

    def start(self) -> None:
        """A new run, from what is on disk."""
        roster = Roster(heartbeat_ms=60_000, silence_min_ms=300_000, cold_ms=0)
        for machine in range(1, self.machines + 1):
            roster.begin_session(machine, self.now - 10 * HOUR)
            roster.begin_session(machine, self.now - 5 * HOUR)
        self.admission = Admission(
            "av", roster, lambda _: "everyone", lambda _: "", idle_ms=2_000, max_ms=60_000
        )
        self.admission.restore([], self.cuts, [])
        self.cuts += self.admission.apply(board(self.leave), self.now, self.places)

    def poll(self, machine: int) -> tuple[Place, ...]:
        """Begin a session; nothing is durable yet."""
        self.now += 3_000
        choice, cuts = self.admission.begin(machine, self.now, self.now // 1000, lease=True)
        self.cuts += cuts
        return tuple(place for place in choice.places if place.deck)

    def store(self, places: tuple[Place, ...]) -> None:
        """They are durable now."""
        self.places += places
        for place in places:
            self.admission.settle(place)

    def lose(self, places: tuple[Place, ...]) -> None:
        """The disk refused them."""
        for place in places:
            self.admission.forget(place)


fates = st.lists(
    st.tuples(st.integers(1, 25), st.sampled_from(["stored", "stored", "lost", "killed"])),
    max_size=120,
)


@given(deals, fates)
def test_no_failure_deals_a_card_twice_or_one_treated_card_too_many(deck, told):
    """Never more than ``a`` treated, with disks that fail and kills between draw and answer."""
    gate = Gate(25, grant(deck))
    for machine, fate in told:
        drawn = gate.poll(machine)
        match fate:
            case "stored":
                gate.store(drawn)
            case "lost":
                gate.lose(drawn)
            case _:
                gate.start()

    cards = [place.card for place in gate.places]
    assert len(set(cards)) == len(cards)
    assert len({place.machine for place in gate.places}) == len(cards)
    assert sum(place.treated for place in gate.places) <= deck.treated
    whole = valve.arrangement(KEY, deck)
    assert all(place.treated is whole[place.card] for place in gate.places)


@given(deals, fates)
def test_a_cut_counts_the_cards_that_were_turned_and_comes_once(deck, told):
    """The audit after the door has ended compares it with the arrangement."""
    gate = Gate(25, grant(deck))
    for machine, fate in told:
        drawn = gate.poll(machine)
        gate.store(drawn) if fate == "stored" else gate.lose(drawn)
    gate.leave = None
    gate.cuts += gate.admission.apply(board(None), gate.now)

    assert [cut.deck for cut in gate.cuts] == [1] * len(gate.cuts)
    assert len(gate.cuts) <= 1
    for cut in gate.cuts:
        whole = valve.arrangement(KEY, deck)
        assert cut.treated == sum(whole[: cut.drawn])
        assert all(place.card < cut.drawn for place in gate.places)
    assert bool(gate.cuts) or not gate.places


@given(deals, st.data())
def test_a_kill_in_the_middle_of_a_deck_keeps_its_arrangement(deck, data):
    """The key alone makes the order, so the run that goes on deals the same cards."""
    stops = data.draw(st.sets(st.integers(0, deck.cards)))
    gate = Gate(deck.cards, grant(deck))
    for machine in range(1, deck.cards + 1):
        if machine in stops:
            gate.start()
        gate.store(gate.poll(machine))

    assert [place.treated for place in gate.places] == list(valve.arrangement(KEY, deck))
    assert [(cut.drawn, cut.treated) for cut in gate.cuts] == [(deck.cards, deck.treated)]


@given(st.integers(0, 2**32))
def test_who_comes_first_gains_nothing(seed):
    """Sixty-four machines at once, in any order: the labels follow the cards, not the machines."""
    chance = random.Random(seed)
    deck = Deal(6, 64)
    gate = Gate(64, grant(deck))
    queue = list(range(1, 65))
    chance.shuffle(queue)
    drawn = [gate.poll(machine) for machine in queue]  # all drawn before any is durable
    chance.shuffle(drawn)
    for places in drawn:
        gate.store(places)

    by_card = sorted(gate.places, key=lambda place: place.card)
    assert [place.machine for place in by_card] == queue
    assert tuple(place.treated for place in by_card) == valve.arrangement(KEY, deck)


def test_every_ordinal_of_a_deck_is_treated_equally_often_at_the_gate():
    """The machine that always polls first is treated as often as the one that polls last."""
    deck, rounds = Deal(2, 8), 1_500
    treated: Counter[int] = Counter()
    for n in range(rounds):
        key = valve.deck_key(KEY, "release", "everyone", n)
        gate = Gate(deck.cards, grant(deck, key=key))
        for machine in range(1, deck.cards + 1):
            gate.store(gate.poll(machine))
        treated.update(place.card for place in gate.places if place.treated)

    share = deck.treated / deck.cards
    error = 4 * (share * (1 - share) / rounds) ** 0.5
    assert all(abs(treated[card] / rounds - share) < error for card in range(deck.cards))


# Pools


def pool_of(labels: list[bool], classes: list[int]) -> Pool:
    pool = Pool("everyone", 1)
    pool.seat(
        [
            StoredPlace(
                n,
                Place("av", 2, "everyone", 1, n - 1, n, label, cls, Reports(n % 2 == 0), n),
                "b",
                n,
            )
            for n, (label, cls) in enumerate(zip(labels, classes, strict=True), 1)
        ]
    )
    pool.cut_ms = 1
    return pool


members = st.lists(
    st.tuples(st.booleans(), st.integers(0, 2), st.booleans(), st.booleans()),
    min_size=1,
    max_size=40,
)


def close_everything(pool: Pool, crashed: list[bool], silent: list[bool]) -> list[Cell]:
    """Crashes in one tick, then class after class; the cells in order."""
    cells: list[Cell] = []
    closing = count_events(pool, np.array(crashed), signal=CRASH, epoch=0)
    if closing is not None:
        pool.take(closing)
        cells += closing.cells
    for cls in pool.open_classes():
        closing = close_class(pool, cls, silent=np.array(silent), installed=pool.treated, epoch=0)
        pool.take(closing)
        cells += closing.cells
    return cells


@given(members)
def test_exchanging_all_cards_exchanges_the_arms_and_nothing_else(told):
    """Cohorts.md 6, test 5: both arms are counted by the same rule."""
    labels, classes, crashed, silent = (list(column) for column in zip(*told, strict=True))
    one = close_everything(pool_of(labels, classes), crashed, silent)
    other = close_everything(pool_of([not label for label in labels], classes), crashed, silent)

    def exchanged(cell):
        return dataclasses.replace(
            cell,
            treated=cell.control,
            control=cell.treated,
            treated_harmed=cell.control_harmed,
            control_harmed=cell.treated_harmed,
            installed=0,
        )

    assert [exchanged(cell) for cell in one] == [
        dataclasses.replace(cell, installed=0) for cell in other
    ]


@given(members)
def test_a_machine_is_counted_in_one_factor_and_has_one_outcome(told):
    """I7: crashed and then silent is one event; each member matures once."""
    labels, classes, crashed, silent = (list(column) for column in zip(*told, strict=True))
    pool = pool_of(labels, classes)
    cells = close_everything(pool, crashed, silent)

    harm = [cell for cell in cells if cell.test == "harm"]
    clear = [cell for cell in cells if cell.test == "clearance"]
    counted = sum(cell.treated_harmed + cell.control_harmed for cell in harm)
    able = pool.telling
    ever = (np.array(crashed) & able) | np.array(silent)
    assert counted == int(ever.sum())
    assert sum(c.treated + c.control for c in clear) == len(labels)
    assert sum(c.treated_harmed + c.control_harmed for c in clear) == counted
    # What is at risk shrinks by what was revealed or released, never by anything else.
    at_risk = [c.treated + c.control for c in harm if c.signal == "silence"]
    assert at_risk == sorted(at_risk, reverse=True)
