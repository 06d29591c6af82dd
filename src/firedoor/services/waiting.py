"""Waiting: treated machines that had not got the bytes when their class was looked at.

Silence says nothing of a release that a machine did not have yet. Such a machine keeps its slot
after its class: until it was heard one silence deadline after its own install, or is *dormant*,
since it did not install for ``policy.install_wait``. What wakes takes its slot back, and no more
are dormant for nothing than the window holds.

It has no control, for control machines never install: it adds no cell. What is silent after a
late install, or reports harm within that deadline, is harmed, and is debt in full; who reported
harm keeps its slot though it speaks. Source: ADR 0024.

Where a release takes effect by a restart (``policy.takes_effect``) the same is asked from that
restart on, and until then the machine waits. One that falls silent with the bytes and tells of no
restart may have died of it: it is harmed and not dormant, and waits again if it speaks. Source:
ADR 0041.
"""

from collections.abc import Iterable
from dataclasses import replace
from typing import Protocol

import numpy as np

from firedoor.core import silence
from firedoor.core.door import ended
from firedoor.core.signal import SILENCE
from firedoor.ports import Instant
from firedoor.services.flight import Flight, Silent
from firedoor.services.late import Late, Wait
from firedoor.services.life import Life
from firedoor.services.pools import Mask, Pool
from firedoor.services.records import Harmed
from firedoor.services.stores import JudgeRecords


def survivors(channel: str, number: int, ring: str) -> str:
    """Name of the number of a ring's late machines that survived a release."""
    return f"survived:{channel}:{number}:{ring}"


class Ears(Protocol):
    """Who was heard, and what they said."""

    @property
    def life(self) -> Life:
        """When each machine was last heard."""
        ...

    def told_since(self, machine: int, mono_ms: int, now: Instant) -> list[str]:
        """Streams of which a machine has sent an event after a moment of this boot."""
        ...


class Waiting:
    """Looks at those who were late, within the judge's steps."""

    def __init__(self, store: JudgeRecords, *, silence_min_ms: int, settle_ms: int) -> None:
        """Times are those of the judge, ms."""
        self._store = store
        self._silence_min_ms = silence_min_ms
        self._settle_ms = settle_ms

    def ready(self, flight: Flight, pool: Pool, cls: int, begin: int) -> Mask:
        """Members of a class that had installed, and had time to settle, before its window."""
        before, ready = begin - self._settle_ms, np.zeros(len(pool), np.bool_)
        # By member: whoever has installed the release may be the whole fleet.
        for member in np.flatnonzero((pool.cls == cls) & pool.treated).tolist():
            got = flight.took_effect(int(pool.machines[member]))
            ready[member] = got is not None and got <= before
        return ready

    def begin(self, flight: Flight, pool: Pool, cls: int, ready: Mask, now: Instant) -> None:
        """A class was looked at for the first time: whoever was not ready waits.

        Those that were counted as harmed keep their slot as debt.
        """
        late = (pool.cls == cls) & pool.treated & ~ready & ~pool.harmed
        since = pool.cut_ms or 0
        for member in np.flatnonzero(late).tolist():
            row, machine = int(pool.rows[member]), int(pool.machines[member])
            beating = bool(pool.beating[member])
            self._put(
                flight, Late(row, machine, pool.ring, pool.deck, cls, beating, now.boot, since)
            )

    def greet(self, flight: Flight, life: Life, now: Instant) -> None:
        """A machine that was counted as silent and speaks again frees its slot.

        Its cell stays as it was closed: evidence is not rewritten. A debt of its own is taken back
        where it may only have slept: it waits again.
        """
        for row, silent in list(flight.silent.items()):
            if life.last(silent.machine) <= silent.counted_ms:
                continue
            del flight.silent[row]
            if self._back(flight, row, silent, life, now):
                self._store.forgive(row)
            else:
                self._store.recover(row, now.wall_ms)
                flight.recovered[silent.ring] = flight.recovered.get(silent.ring, 0) + 1

    def _back(self, flight: Flight, row: int, silent: Silent, life: Life, now: Instant) -> bool:
        """Let a machine wait that spoke again and has shown nothing of the release yet.

        Returns:
            Its debt was its own: no cell has counted it.
        """
        got, late = flight.took_effect(silent.machine), flight.late.late.get(row)
        if got is not None and life.last(silent.machine) > got + self._settle_ms:
            return False
        if late is not None and late.wait is Wait.HARMED:
            self._put(flight, replace(late, wait=Wait.WAITING))
            return True
        who = row, silent.machine, silent.ring, silent.deck, silent.cls, silent.beating
        self._put(flight, Late(*who, now.boot, now.mono_ms, counted=True))
        return False

    def count(self, flight: Flight, row: int) -> None:
        """The evidence counts a member as harmed: it is no debt of its own any more."""
        late = flight.late.late.get(row)
        if late is None:
            return
        spoke = flight.silent.pop(row, None) is None
        if late.wait is Wait.HARMED and spoke:
            flight.recovered[late.ring] -= 1
        self._put(flight, replace(late, wait=Wait.OVER, counted=True))

    def look(self, flight: Flight, hearing: Ears, now: Instant) -> None:
        """Look at everybody on its own, in the rings whose doors are undecided."""
        for late, signal in self._moved(flight, hearing, now):
            if late.harmed:
                self._harm(flight, late, signal, hearing.life.until, now)
            else:
                self._put(flight, late)

    def _moved(self, flight: Flight, hearing: Ears, now: Instant) -> Iterable[tuple[Late, str]]:
        """Who stands elsewhere now, and the signal that moved it."""
        terms, life = flight.boarding.terms, hearing.life
        for late in list(flight.late.late.values()):
            if late.harmed or ended(flight.doors[late.ring].state):
                continue
            wait, signal = late.wait, SILENCE
            span = silence.class_deadline(late.cls, self._silence_min_ms)
            got, bytes_ms = flight.took_effect(late.machine), flight.installed.get(late.machine)
            if got is None:
                since = late.since_ms if late.boot == now.boot else 0
                patience = terms[late.ring].install_delay_ms
                patience += terms[late.ring].install_wait_for(span)
                begin = life.window(since, intake=False)
                asleep = begin is not None and life.until >= begin + patience
                wait = Wait.DORMANT if asleep else wait
                if bytes_ms is not None:
                    # The harm of a restart is that it is never told: silence counts from now on.
                    after = max(bytes_ms + self._settle_ms, life.last(late.machine))
                    begin = life.window(after, intake=late.beating)
                    gone = begin is not None and life.until >= begin + span
                    wait = Wait.HARMED if gone else wait
                    # What harms without a restart is looked for as it would be without one.
                    begin = life.window(bytes_ms + self._settle_ms, intake=late.beating)
                    if begin is None or life.until < begin + span:
                        signal = self._told(flight, hearing, late, bytes_ms, now)
            else:
                begin = life.window(got + self._settle_ms, intake=late.beating)
                wait = Wait.WAITING if wait is Wait.WAITING else Wait.WOKEN
                if begin is not None and life.until >= begin + span:
                    wait = Wait.OVER if life.last(late.machine) > begin else Wait.HARMED
                # What tells of the restart may tell of harm as well, and a machine that goes back
                # at once tells of two restarts with the harm between them.
                since = got if flight.effect is None else min(got - 1, bytes_ms or 0)
                signal = self._told(flight, hearing, late, since, now)
            wait = wait if signal == SILENCE else Wait.TOLD
            if wait is not late.wait:
                yield replace(late, wait=wait), signal

    @staticmethod
    def _told(flight: Flight, hearing: Ears, late: Late, since_ms: int, now: Instant) -> str:
        """A signal that decides and that a late machine sent after a moment, or silence."""
        told = hearing.told_since(late.machine, since_ms, now)
        return next((name for name in told if flight.decides(name)), SILENCE)

    def _harm(self, flight: Flight, late: Late, signal: str, until: int, now: Instant) -> None:
        channel, number = flight.boarding.channel, flight.boarding.number
        harmed = Harmed(
            late.row,
            late.machine,
            treated=True,
            signal=signal,
            at_ms=now.wall_ms,
            recovered_ms=0,
            boot=now.boot,
            counted_ms=until,
        )
        self._store.add_harmed(channel, number, harmed)
        if late.wait is Wait.HARMED:
            flight.silent[late.row] = Silent(
                late.machine, late.ring, until, late.deck, late.cls, late.beating
            )
        if late.counted:
            flight.recovered[late.ring] -= 1
            late = replace(late, wait=Wait.OVER)
        self._put(flight, late)

    def _put(self, flight: Flight, late: Late) -> None:
        if flight.boarding.terms[late.ring].installs:
            channel, number = flight.boarding.channel, flight.boarding.number
            flight.wait(late)
            self._store.put_late(channel, number, late)
            if late.wait is Wait.OVER and flight.effect is not None:
                survived = flight.late.survived.get(late.ring, 0)
                self._store.put_cursor(survivors(channel, number, late.ring), survived)
