"""Sorting a request's lines: into heartbeats, events, duplicates, and lines that are refused."""

from collections.abc import Sequence
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
    into.refused.extend(piece.malformed)
    beats: list[tuple[MachineNo, int]] = []
    machines = _known(piece.lines, voice)
    for at, line, machine in zip(piece.numbers, piece.lines, machines, strict=True):
        if machine is None:
            into.refused.append(Malformed(at, voice.refusal(line.machine)))
            continue
        kind = line.kind
        if kind == _HEARTBEAT:
            beats.append((machine, unix_ms(line.time)))
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
    _show_lives(beats, known, received_ms, into)


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
    _show_lives([(machine, time_ms)], known, received_ms, into)


def _show_lives(
    beats: Sequence[tuple[MachineNo, int]], known: Heartbeats, received_ms: UnixMs, into: Sorted
) -> None:
    # Nearly all traffic comes through here: what does not change is not looked up for each.
    sent, last_sent, new = into.sent, known.last_sent, 0
    latest = received_ms + known.interval_ms
    for machine, time_ms in beats:
        last = sent[machine] if machine in sent else last_sent(machine)
        if time_ms != last and not time_ms < last <= latest:
            sent[machine] = time_ms
            new += 1
    into.heartbeats += new
    into.duplicates += len(beats) - new


def _known(lines: Sequence[SignalLine], voice: Voice) -> list[MachineNo | None]:
    """Machines that the lines are about; None where the sender may not speak for them."""
    numbers = voice.numbers
    try:
        return [numbers[line.machine] for line in lines]
    except KeyError:
        known = len(numbers)
        voice.learn([line.machine for line in lines if line.machine not in numbers])
        if len(numbers) < known:
            # There was no room for more, and those of this piece were forgotten with the others.
            voice.learn([line.machine for line in lines])
        return [numbers.get(line.machine) for line in lines]


def _event(
    line: SignalLine, machine: MachineNo, received_ms: UnixMs, behind_ms: int | None
) -> SignalEvent:
    said = unix_ms(line.time)
    # The key is the time as sent: the corrected one would differ when it is sent again.
    key = line.id or str(said)
    time = happened(said, received_ms, behind_ms)
    return SignalEvent(machine, line.kind, time, key, detail_text(line), time - said)
