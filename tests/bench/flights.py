"""A whole tick of the judge with thousands of boardings in flight: what a large mirror costs.

The judge is the product's, on its own stores in a temporary directory: channels with
several boardings each, every one with a sealed deck whose deadline is far away. Ticks come as
they do in service, one transaction each: quiet ones, in which machines poll and nothing else
happens, and ones in which crashes close cells. A tick must leave most of a bucket (60 s) free.
"""

import cProfile
import hashlib
import itertools
import pstats
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from pathlib import Path

import msgspec
from tests.clocks import HandClock

from firedoor.adapters.store.gate import GateReader, GateWriter
from firedoor.adapters.store.judge import JudgeStore
from firedoor.adapters.store.signals import SignalDatabase, SignalReader
from firedoor.core.board import Grant
from firedoor.core.door import Door, Reason, State
from firedoor.core.ring import EVERYONE
from firedoor.core.signal import Reports
from firedoor.core.terms import Policy, resolve
from firedoor.core.units import MachineNo, UnixMs
from firedoor.ports import Delivery, SignalEvent
from firedoor.services.boarding import Boarding, rules_for
from firedoor.services.flight import Flight
from firedoor.services.judging import Judge, Pace
from firedoor.services.ledger import LedgerWriter
from firedoor.services.places import Census, Cut, Place
from firedoor.services.records import Bucket, StoredDeck

CHANNELS = 1_000
BOARDINGS = 3
MACHINES = 10_000
CARDS = 50
TREATED = 5
CRASHES = 300
TICKS = 10
WARM_UP = 3
BUCKET_MS = 60_000
SEED = 20240719
LONGEST_CLASS = 12
"""Its deadline is days away: no class closes while the ticks are measured."""


class Flights:
    """A judge with ``CHANNELS`` x ``BOARDINGS`` flights, and a gate and an intake that write."""

    def __init__(self, folder: Path, open_files: ExitStack) -> None:
        """Board everything, deal every deck, and let every card be drawn."""
        self.clock = HandClock()
        self.chance = random.Random(SEED)
        self.store = JudgeStore(folder)
        self.gate = GateWriter(folder)
        self.signals = SignalDatabase(folder / "intake.db")
        reader = GateReader(folder)
        for each in (self.store, self.gate, self.signals, reader):
            open_files.callback(each.close)
        self.judge = Judge(
            self.store,
            reader,
            SignalReader(folder / "intake.db"),
            LedgerWriter(self.store, lambda payload: hashlib.sha512(payload).digest()),
            Pace(BUCKET_MS, 5 * BUCKET_MS, BUCKET_MS),
        )
        self.signals.mark([MachineNo(n) for n in range(1, MACHINES + 1)], Reports.BEATS)
        self._board_all()
        self.judge.load(list(self._flights()), self.clock.now())

    def bucket(self, crashes: int) -> float:
        """A minute passes; returns how long the judge's tick took, in ms."""
        self.clock.pass_ms(BUCKET_MS)
        now = self.clock.now()
        events = [
            SignalEvent(MachineNo(n), "panic", now.wall_ms, f"{now.wall_ms}-{n}", None)
            for n in self.chance.sample(range(1, MACHINES + 1), crashes)
        ]
        self.signals.append(now, [Delivery((), events)])
        self.signals.beat(now)
        self._flush(range(1, MACHINES + 1))
        began = time.perf_counter()
        with self.store.step():
            self.judge.tick(now, self.store.board().version)
            self.store.put_tick(now.boot, now.mono_ms, now.wall_ms)
        return 1_000 * (time.perf_counter() - began)

    def cells(self) -> int:
        """Cells that the evidence of all flights rests on."""
        return sum(flight.evidence.seq for flight in self.judge.flights.values())

    def _board_all(self) -> None:
        now = self.clock.now()
        terms = {EVERYONE: resolve(Policy(), MACHINES)}
        rules = rules_for(terms[EVERYONE], reporting=MACHINES, strata=Policy().strata)
        places, cuts = [], []
        with self.store.step():
            for channel, number in _all():
                self.store.add_boarding(
                    Boarding(
                        channel, number, f"{number:064x}", number - 1, now.wall_ms, "", terms, rules
                    )
                )
                newest = number == BOARDINGS
                door = Door(
                    channel,
                    number,
                    EVERYONE,
                    f"{number:064x}",
                    "",
                    terms[EVERYONE].budget,
                    State.OPENING if newest else State.SUPERSEDED,
                    Reason.EVIDENCE if newest else Reason.NEWER,
                    UnixMs(now.wall_ms),
                )
                self.store.put_door(door)
                grant = Grant(1, CARDS, TREATED, "00" * 32, BUCKET_MS)
                self.store.put_deck(
                    channel,
                    number,
                    StoredDeck(
                        EVERYONE,
                        1,
                        msgspec.json.encode(grant).decode(),
                        now.wall_ms,
                        0,
                        0,
                        0,
                        closed=0,
                    ),
                )
                drawn = self.chance.sample(range(1, MACHINES + 1), CARDS)
                places += [
                    Place(
                        channel, number, EVERYONE, 1, card, machine, card < TREATED, LONGEST_CLASS,
                        reports=Reports.BEATS, mono_ms=now.mono_ms,
                        stratum=f"model=m{machine % 7},os=o{machine % 3},site=s{machine % 40}",
                    )
                    for card, machine in enumerate(drawn)
                ]  # fmt: skip
                cuts.append(Cut(channel, number, EVERYONE, 1, CARDS, TREATED, now.mono_ms))
        self.gate.commit(tuple(places), cuts, now)
        self._flush(())

    def _flights(self) -> Iterable[Flight]:
        for channel, number in _all():
            boarding = self.store.boarding(channel, number)
            assert boarding is not None
            yield Flight.begin(boarding, b"s" * 32, self.store.doors(channel, number))

    def _flush(self, heard: Iterable[int]) -> None:
        census = [
            Census(f"channel-{n:04d}", EVERYONE, MACHINES, MACHINES - CARDS, 10.0, MACHINES, 0)
            for n in range(CHANNELS)
        ]
        self.gate.flush(
            Bucket(
                run="run",
                final=False,
                heard=list(heard),
                habits=(),
                standings=(),
                installed=(),
                census=census,
                board=self.store.board().version,
            ),
            self.clock.now(),
        )


def measure(*, profile: bool = False) -> dict[str, object]:
    """Tick quietly and eventfully, and say what it took.

    Args:
        profile: Say on stderr where the time of two more ticks goes.
    """
    with tempfile.TemporaryDirectory() as folder, ExitStack() as open_files:
        judged = Flights(Path(folder), open_files)
        first = judged.bucket(0)
        for _ in range(WARM_UP):
            judged.bucket(0)
        cells = judged.cells()
        quiet = [judged.bucket(0) for _ in range(TICKS)]
        if judged.cells() != cells:
            raise AssertionError("a quiet tick closed something")
        eventful = [judged.bucket(CRASHES) for _ in range(TICKS)]
        counted = judged.cells() - cells
        if not counted:
            raise AssertionError("no crash was counted")
        if profile:
            with cProfile.Profile() as watched:
                judged.bucket(0)
                judged.bucket(CRASHES)
            pstats.Stats(watched, stream=sys.stderr).sort_stats("tottime").print_stats(25)
    return {
        "bench": "judge, whole ticks",
        "flights": CHANNELS * BOARDINGS,
        "members_per_flight": CARDS,
        "crashes_per_tick": CRASHES,
        "cells_per_tick": round(counted / TICKS),
        "first_tick_ms": round(first),
        "quiet_tick_ms_median": round(statistics.median(quiet)),
        "quiet_tick_ms_max": round(max(quiet)),
        "eventful_tick_ms_median": round(statistics.median(eventful)),
        "eventful_tick_ms_max": round(max(eventful)),
    }


def _all() -> Iterator[tuple[str, int]]:
    """Channel and boarding number of every flight."""
    return itertools.product((f"channel-{n:04d}" for n in range(CHANNELS)), range(1, BOARDINGS + 1))
