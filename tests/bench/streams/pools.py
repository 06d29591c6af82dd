"""What the pools of a ring reveal, closing by closing, as the product's judge would see it."""

import math
from typing import TYPE_CHECKING

import numpy as np
from tests.bench.rules.rule import Bools, Closing, Floats, Ints
from tests.bench.streams.stream import Closings, reveal

from firedoor.core.signal import ANY, TOLD, TOLD_EARLY
from firedoor.core.stratum import stratum_of

if TYPE_CHECKING:
    from tests.bench.streams.ring import Run

NEVER = 1e9
CRASH, SILENCE = 0, 1
SIGNALS = ("crash", "silence")


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
        _tell(run, closings, members, tick, signal)
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


def _tell(run: "Run", closings: Closings, members: Bools, tick: Ints, signal: Ints) -> None:
    """Looks at what a deck's members told: at its cut, whenever they did, and before the others."""
    cut = float(run.cut[members][0])
    dealt = float(run.index[members].mean())
    dues = [float(run.due(rung)[members][0]) for rung in run.ring.rungs]
    looked = [moment // run.ring.tick for moment in (cut, *dues)]
    spoke = members & (tick >= 0) & (signal == CRASH)
    before, last = -1, dealt
    for now in sorted({int(t) for t in (*looked, *tick[spoke].tolist()) if t <= looked[-1]}):
        if now >= run.ring.intervals:
            return
        moment = min(max(cut, (now + 1.0) * run.ring.tick), dues[-1])
        said = spoke & (tick > before) & (tick <= now)
        listened = said | (members & ((tick < 0) | (tick > now)))
        listened |= members & (tick == now) & (signal == SILENCE)
        minutes = max(1, math.ceil(moment - last))
        closings.setdefault(now, []).append(
            Closing(
                deck=int(run.deck[members][0]) + 1,
                signal=TOLD_EARLY if now <= looked[1] else TOLD,
                treated=minutes * int((listened & run.treated).sum()),
                control=minutes * int((listened & ~run.treated).sum()),
                treated_harmed=int((said & run.treated).sum()),
                control_harmed=int((said & ~run.treated).sum()),
                late=True,
                age=round(moment - cut),
            )
        )
        before, last = now, moment
