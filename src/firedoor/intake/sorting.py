"""Sorting a request's lines: into heartbeats, events, duplicates, and lines that are refused."""

from dataclasses import dataclass, field
from typing import Final

from firedoor.core.boots import JournalState
from firedoor.core.errors import BadInput
from firedoor.core.machine import redact
from firedoor.core.signal import SignalKind
from firedoor.core.units import MachineNo, UnixMs
from firedoor.formats.ndjson import Malformed, Piece, SignalLine, detail_text, unix_ms
from firedoor.intake.clocks import happened
from firedoor.intake.heartbeats import Heartbeats
from firedoor.intake.quota import EVENTS_A_MINUTE, Quota
from firedoor.intake.voices import Voice
from firedoor.ports import Delivery, SignalEvent

_HEARTBEAT: Final = SignalKind.HEARTBEAT.value
_EVENTS: Final = frozenset(kind.value for kind in SignalKind if kind is not SignalKind.HEARTBEAT)
_KNOWN_KINDS: Final = ", ".join(kind.value for kind in SignalKind)
_SHOWN_CHARACTERS: Final = 64


@dataclass(slots=True)
class Sorted:
    """What is found in a request so far.

    Attributes:
        heartbeats: New heartbeats: how many there were of them, and each machine's last time
            as sent, Unix ms.
        sent: See ``heartbeats``.
        lives: Machines that live, as something else shows than a heartbeat.
        events: Events, of which the store will tell which are new.
        duplicates: Heartbeats seen before.
        refused: Lines that were not accepted, and why; without those of ``excess``.
        excess: Events above the machines' quota: how many.
        excess_at: Number of the first line of them.
        journals: What is to be remembered of machines' journals.
    """

    heartbeats: int = 0
    sent: dict[MachineNo, int] = field(default_factory=dict)
    lives: set[MachineNo] = field(default_factory=set)
    events: list[SignalEvent] = field(default_factory=list)
    duplicates: int = 0
    refused: list[Malformed] = field(default_factory=list)
    excess: int = 0
    excess_at: int = 0
    journals: dict[MachineNo, JournalState] = field(default_factory=dict)

    def delivery(self) -> Delivery:
        """What of it is to be stored."""
        lives = tuple(self.lives.union(self.sent))
        return Delivery(heartbeats=lives, events=self.events, journals=self.journals)

    def rejected(self) -> list[Malformed]:
        """Lines that were not accepted, by number; those of a flood are one, the first."""
        found = self.refused
        if self.excess:
            why = (
                f"more than {EVENTS_A_MINUTE} of this kind in a minute:"
                f" {self.excess:,} from here on were not stored"
            )
            found = [*found, Malformed(self.excess_at, why)]
        return sorted(found, key=lambda bad: bad.line)


def sort(
    piece: Piece,
    voice: Voice,
    known: Heartbeats,
    quota: Quota,
    *,
    received_ms: UnixMs,
    into: Sorted,
) -> None:
    """Sort a piece of a request.

    Args:
        piece: Decoded lines.
        voice: Whom the sender may speak for.
        known: Heartbeats stored before this request.
        quota: Counts events of the minute in which the request came.
        received_ms: Wall time at which the request came.
        into: What the lines are added to.

    Raises:
        Unavailable: The register cannot be read.
    """
    numbers = voice.numbers
    strangers = [line.machine for line in piece.lines if line.machine not in numbers]
    if strangers:
        voice.learn(strangers)
    into.refused.extend(piece.malformed)
    for at, line in zip(piece.numbers, piece.lines, strict=True):
        machine = numbers.get(line.machine)
        if machine is None:
            into.refused.append(Malformed(at, voice.refusal(line.machine)))
            continue
        kind = line.kind
        if kind == _HEARTBEAT:
            show_life(machine, unix_ms(line.time), known, received_ms=received_ms, into=into)
        elif kind not in _EVENTS:
            shown = redact(repr(kind[:_SHOWN_CHARACTERS]))
            into.refused.append(Malformed(at, f"unknown kind {shown}; known: {_KNOWN_KINDS}"))
        else:
            try:
                event = _event(line, machine, received_ms, known.behind(machine))
            except BadInput as error:
                into.refused.append(Malformed(at, str(error)))
                continue
            if quota.take(machine, kind, event.key):
                into.events.append(event)
            else:
                into.excess_at = into.excess_at or at
                into.excess += 1


def show_life(
    machine: MachineNo, time_ms: int, known: Heartbeats, *, received_ms: UnixMs, into: Sorted
) -> None:
    """Add a heartbeat.

    It is a duplicate if its machine has sent the same or a later one: whatever is sent again, in
    whatever order, shows no life. Unless the later one came from a clock that ran ahead by more
    than an interval, or the machine would be silent from the moment its clock is set right until
    the hour it had shown.

    Args:
        machine: Whose.
        time_ms: As sent, Unix ms.
        known: Heartbeats stored before this request.
        received_ms: Wall time at which the request came.
        into: What it is added to.
    """
    last = into.sent[machine] if machine in into.sent else known.last_sent(machine)
    if time_ms == last or time_ms < last <= received_ms + known.interval_ms:
        into.duplicates += 1
    else:
        into.sent[machine] = time_ms
        into.heartbeats += 1


def _event(
    line: SignalLine, machine: MachineNo, received_ms: UnixMs, behind_ms: int | None
) -> SignalEvent:
    said = unix_ms(line.time)
    # The key is the time as sent: the corrected one would differ when it is sent again.
    key = line.id or str(said)
    time = happened(said, received_ms, behind_ms)
    return SignalEvent(machine, line.kind, time, key, detail_text(line), time - said)
