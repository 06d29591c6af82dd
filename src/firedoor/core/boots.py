"""Boots: what the entries of a machine's journal say of how it was started and stopped.

journald's last entry in an orderly shutdown says that it stops, and reaches whoever reads along
only when the machine is up again. So a boot is judged by the end of the one before::

    .. stopped   | first entry of another boot     the machine was shut down: clean
    ..           | first entry of another boot     it was not: unclean

Two things look like the second and are none. A machine that keeps its journal in memory shows no
end of any boot: nothing is said of a boot unless entries of the one before were read just before
it, which is what a journal on disk shows (its reader sends the last entry it has sent again). And
entries may come in the order of a clock that was set back, two boots mixed: so a boot is judged at
the end of the upload only, when the other's last entry has come.

Source: clients.md 5; evidence.md 2.8.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

REMEMBERED: Final = 8
"""Boots of a machine that are remembered: those whose entries may come mixed."""


MOST_TURNS: Final = 256
"""Boots of one upload that wait for their verdict."""


@dataclass(frozen=True, slots=True)
class Boot:
    """A boot of which entries have been read.

    Attributes:
        boot: Its identity.
        machine: Which machine its entries say they are of.
        stopped: Whether journald's last entry is that it stops.
    """

    boot: str
    machine: str
    stopped: bool = False


@dataclass(frozen=True, slots=True)
class JournalState:
    """What is remembered of a machine's journal from one upload to the next.

    Attributes:
        since_ms: When its first upload came, Unix ms: nothing counts that happened before.
        boots: Its last boots, in the order in which they were seen first.
        volatile: Whether the journal is kept in memory, as far as its last boot showed.
    """

    since_ms: int
    boots: tuple[Boot, ...] = ()
    volatile: bool = False


@dataclass(frozen=True, slots=True)
class Turn:
    """The first entry of a boot.

    Attributes:
        boot: Its identity.
        before: The boot before it; "" where the journal of it has gone, so nobody knows its end.
        realtime_ms: When, by the machine's clock, Unix ms; None: it does not say.
        monotonic_ms: When, since the boot began, ms; None: it does not say.
    """

    boot: str
    before: str
    realtime_ms: int | None
    monotonic_ms: int | None


@dataclass(slots=True)
class Boots:
    """Reads along while an upload comes in.

    Attributes:
        state: What was known before; what is known now: see ``known``.
        gathered: A collector sends it. Then no entry of this machine need be sent again at first,
            and where the end of a boot is missing it may never have reached the collector: it
            tells of a crash only where an end of this machine has come before.
    """

    state: JournalState
    gathered: bool = False
    _boots: dict[str, Boot] = field(init=False)
    _seen: set[str] = field(default_factory=set)
    _turns: list[Turn] = field(default_factory=list)
    _waited: int = 0
    _volatile: bool = field(init=False)

    def __post_init__(self) -> None:
        """Take over what was known before."""
        self._boots = {each.boot: each for each in self.state.boots}
        self._volatile = self.state.volatile

    def known(self) -> JournalState:
        """What is to be remembered."""
        boots = tuple(self._boots.values())[-REMEMBERED:]
        return JournalState(self.state.since_ms, boots, self._volatile)

    def turn(
        self, boot: str, machine: str, realtime_ms: int | None, monotonic_ms: int | None
    ) -> None:
        """An entry of another boot than the entry before it, or the first of the upload."""
        if boot in self._boots:
            self._seen.add(boot)
            return
        before = self._before(machine)
        if before is not None:
            # Known, and not read again just now: the journal it was in has gone.
            lost = before not in self._seen and not self._boots[before].stopped
            self._volatile = lost and not (self.gathered and self._has_ended(machine))
            known = "" if self._volatile else before
            self._turns.append(Turn(boot, known, realtime_ms, monotonic_ms))
        self._boots[boot] = Boot(boot, machine)
        self._seen.add(boot)
        self._forget()

    def stopped(self, boot: str, *, stopped: bool) -> None:
        """Journald stopped in this boot, or started (again)."""
        if boot in self._boots:
            self._boots[boot] = Boot(boot, self._boots[boot].machine, stopped)

    def judged(self, *, at_end: bool) -> Sequence[tuple[Turn, bool | None]]:
        """Boots that began, and whether the one before ended as it should; each once.

        None where that cannot be known.

        Args:
            at_end: Nothing more comes. Else those wait that were not there at the last call.
        """
        ready = len(self._turns) if at_end else self._waited
        found = [
            (turn, self._boots[turn.before].stopped if turn.before else None)
            for turn in self._turns[:ready]
        ]
        del self._turns[:ready]
        self._waited = len(self._turns)
        return found

    def _has_ended(self, machine: str) -> bool:
        return any(each.stopped for each in self._boots.values() if each.machine == machine)

    def _before(self, machine: str) -> str | None:
        known = reversed(self._boots.values())
        return next((each.boot for each in known if each.machine == machine), None)

    def _forget(self) -> None:
        if len(self._turns) > MOST_TURNS:
            # The oldest of so many are history.
            del self._turns[0]
            self._waited = max(self._waited - 1, 0)
        if len(self._boots) > 2 * MOST_TURNS:
            waiting = {turn.before for turn in self._turns if turn.before}
            kept = list(self._boots)[-REMEMBERED:]
            self._boots = {
                name: self._boots[name] for name in self._boots if name in waiting or name in kept
            }
            self._seen &= self._boots.keys()
