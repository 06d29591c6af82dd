"""Sorting a request's lines: into heartbeats, events, duplicates, and lines that are refused."""

from dataclasses import dataclass, field
from typing import Final

from firedoor.core.errors import BadInput
from firedoor.core.machine import redact
from firedoor.core.signal import SignalKind
from firedoor.core.units import MachineNo, UnixMs
from firedoor.formats.ndjson import Malformed, Piece, detail_text, unix_ms
from firedoor.intake.heartbeats import Heartbeats
from firedoor.intake.voices import Voice
from firedoor.ports import Delivery, SignalEvent

MAX_AHEAD_MS: Final = 5 * 60_000
"""How far a machine's clock may run ahead of ours before it is corrected."""

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
        events: Events, of which the store will tell which are new.
        duplicates: Heartbeats seen before.
        refused: Lines that were not accepted, and why.
    """

    heartbeats: int = 0
    sent: dict[MachineNo, int] = field(default_factory=dict)
    events: list[SignalEvent] = field(default_factory=list)
    duplicates: int = 0
    refused: list[Malformed] = field(default_factory=list)

    def delivery(self) -> Delivery:
        """What of it is to be stored."""
        return Delivery(heartbeats=tuple(self.sent), events=self.events)


def sort(piece: Piece, voice: Voice, known: Heartbeats, received_ms: UnixMs, into: Sorted) -> None:
    """Sort a piece of a request.

    Args:
        piece: Decoded lines.
        voice: Whom the sender may speak for.
        known: Heartbeats stored before this request.
        received_ms: Wall time at which the request came.
        into: What the lines are added to.

    Raises:
        Unavailable: The register cannot be read.
    """
    numbers, sent = voice.numbers, into.sent
    strangers = [line.machine for line in piece.lines if line.machine not in numbers]
    if strangers:
        voice.learn(strangers)
    into.refused.extend(piece.malformed)
    for at, line in zip(piece.numbers, piece.lines, strict=True):
        machine = numbers.get(line.machine)
        if machine is None:
            into.refused.append(Malformed(at, voice.refusal(line.machine)))
            continue
        time = unix_ms(line.time)
        kind = line.kind
        if kind == _HEARTBEAT:
            if time in (sent.get(machine), known.last_sent(machine)):
                into.duplicates += 1
            else:
                sent[machine] = time
                into.heartbeats += 1
        elif kind not in _EVENTS:
            shown = redact(repr(kind[:_SHOWN_CHARACTERS]))
            into.refused.append(Malformed(at, f"unknown kind {shown}; known: {_KNOWN_KINDS}"))
        else:
            try:
                detail = detail_text(line)
            except BadInput as error:
                into.refused.append(Malformed(at, str(error)))
                continue
            # The key is the time as sent: the corrected one would differ when it is sent again.
            key = line.id or str(time)
            corrected = received_ms if time > received_ms + MAX_AHEAD_MS else time
            into.events.append(SignalEvent(machine, kind, UnixMs(corrected), key, detail))
