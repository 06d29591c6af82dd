"""What the pools of a ring reveal, closing by closing, as the product's judge would see it."""

import math
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from tests.bench.rules.rule import Closing, Floats, Ints
from tests.bench.streams.stream import Closings, reveal

from firedoor.core.cell import TOLD_EDGES_MS
from firedoor.core.signal import ANY, TOLD, TOLD_EARLY
from firedoor.core.stratum import stratum_of
from firedoor.services.told import passed, spent

if TYPE_CHECKING:
    from tests.bench.streams.ring import Run

NEVER = 1e9
CRASH, SILENCE = 0, 1
SIGNALS = ("crash", "silence")

_MINUTE_MS = 60_000
_EDGES = tuple(edge / _MINUTE_MS for edge in TOLD_EDGES_MS)


def revealed(run: "Run", who: Ints, when: Floats, silent: Floats) -> Closings:
    """What one run's pools reveal.

    Args:
        run: Who is in which deck, with which card.
        who: Machines of the reports that arrive.
        when: Their times.
        silent: When each machine is found silent.
    """
    ring = run.ring
    crashed = np.full(ring.machines, NEVER)
    np.minimum.at(crashed, who, when)
    # What happens before the cut is evaluated at the cut.
    crash_tick = run.tick_of(np.where(crashed < NEVER, np.maximum(crashed, run.cut), NEVER))
    silent_tick = run.tick_of(silent)
    by_crash = (crash_tick >= 0) & ((silent_tick < 0) | (crash_tick <= silent_tick))
    tick = np.where(by_crash, crash_tick, silent_tick)
    tick = np.where(tick < ring.intervals, tick, -1)
    signal = np.where(by_crash, CRASH, SILENCE)
    strata = [stratum_of({"site": f"s{site}"}, ("site",)) for site in run.site.tolist()]
    closings = reveal(run.deck, run.treated, tick, signal, SIGNALS, strata=strata)
    for deck in range(int(run.deck.max()) + 1):
        members = run.deck == deck
        _tell(run, closings, deck, _Counted(crashed, tick, signal))
        for rung in ring.rungs:
            due = run.due(rung)[members][0]
            mature = int(due // ring.tick)
            if mature >= ring.intervals:
                break
            quiet = members & (tick == mature) & (signal == SILENCE)
            looked = members & ((tick < 0) | (tick > mature) | quiet)
            harmed, late = quiet, rung > 1
            if not late:
                looked, harmed = members, members & (tick >= 0) & (tick <= mature)
            closings.setdefault(mature, []).append(
                Closing(
                    deck=deck + 1,
                    signal=SIGNALS[SILENCE] if late else ANY,
                    treated=int((looked & run.treated).sum()),
                    control=int((looked & ~run.treated).sum()),
                    treated_harmed=int((harmed & run.treated).sum()),
                    control_harmed=int((harmed & ~run.treated).sum()),
                    late=late,
                    age=round(due - run.cut[members][0]),
                )
            )
    return closings


class _Counted(NamedTuple):
    """When each machine's first report arrives, in which interval it is counted, and for what."""

    told: Floats
    tick: Ints
    signal: Ints


def _tell(run: "Run", closings: Closings, deck: int, known: _Counted) -> None:
    """Looks at what a deck's members told: at its cut, whenever they did, and before the others."""
    members = run.deck == deck
    cut, drawn, treated = float(run.cut[members][0]), run.index[members], run.treated[members]
    told, tick, signal = (column[members] for column in known)
    said = (tick >= 0) & (signal == CRASH)
    age_then = np.searchsorted(_EDGES, np.maximum(told - drawn, 0.0))
    dues = [float(run.due(rung)[members][0]) for rung in run.ring.rungs]
    looked = [moment // run.ring.tick for moment in (cut, *dues)]
    before, was = -1, spent(np.zeros(1), np.ones(1, np.int64), 0)
    cards = np.ones(len(drawn), np.int64)
    for now in sorted({int(t) for t in (*looked, *tick[said].tolist()) if t <= looked[-1]}):
        if now >= run.ring.intervals:
            return
        moment = min(max(cut, (now + 1.0) * run.ring.tick), dues[-1])
        after = spent((moment - drawn) * 60.0, cards, 0, was)
        spoke = said & (tick > before) & (tick <= now)
        sealed = spoke | (tick < 0) | (tick > now) | ((tick == now) & ~said)
        share = float((sealed & run.reports[members]).sum()) / max(1, int(sealed.sum()))
        arms = [sealed & treated, sealed & ~treated]
        reporting = [share * float(arm.sum()) for arm in arms]
        entered = [passed(m, was.entered, after.entered, math.ceil) for m in reporting]
        early = now <= looked[1]
        past = reporting[0] if early else sum(reporting)
        heard = passed(past, was.listened, after.listened, math.floor)
        for age, (m1, m0, seconds) in enumerate(zip(*entered, heard, strict=True)):
            x1, x0 = (int((spoke & (age_then == age) & arm).sum()) for arm in arms)
            if any((m1, m0, seconds, x1, x0)):
                closings.setdefault(now, []).append(
                    Closing(
                        deck=deck + 1,
                        signal=TOLD_EARLY if early else TOLD,
                        treated=max(m1, x1),
                        control=max(m0, x0),
                        treated_harmed=x1,
                        control_harmed=x0,
                        late=True,
                        age=age,
                        listened=seconds,
                    )
                )
        before, was = now, after
