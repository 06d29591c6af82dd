"""Who the machines of a fleet are, and how they live."""

from dataclasses import dataclass
from pathlib import Path

import msgspec

from firedoor.core.errors import BadInput


class Enrolment(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Who a machine is and whom it talks to: one line of a fleet's file.

    Attributes:
        machine: Its name.
        gate: URL that it polls: ``http://host:port``, perhaps with a prefix.
        channel: First part of every path; "" to poll a vendor directly.
        read_token: Password at the gate; "" sends no credentials.
        intake: URL for its signals; "" for a machine without an agent.
        signal_token: Password at the intake.
        seed: Its chance, together with its name.
    """

    machine: str
    gate: str
    channel: str = ""
    read_token: str = ""
    intake: str = ""
    signal_token: str = ""
    seed: int = 0


@dataclass(frozen=True, slots=True)
class Habits:
    """How all machines of a fleet live.

    Attributes:
        poll_s: Mean seconds between polls, each 30 % more or less.
        heartbeat_s: The same between heartbeats.
        heartbeating: Share of machines that have an agent; the others only poll, 0 to 1.
        install_s: Mean seconds from the last byte to the first load, each 30 % more or less.
        crashes_per_hour: Innocent crashes of one machine.
        absences_per_hour: How often one machine is away: asleep, or without a network.
        absence_s: Mean seconds away, exponential.
    """

    poll_s: float = 0.8
    heartbeat_s: float = 1.0
    heartbeating: float = 1.0
    install_s: float = 0.1
    crashes_per_hour: float = 0.0
    absences_per_hour: float = 0.0
    absence_s: float = 2.0


def read_enrolments(path: Path) -> list[Enrolment]:
    """Read a fleet's file.

    Args:
        path: JSON lines, each an `Enrolment`; empty lines are passed over.

    Returns:
        The machines, at least one, each name once.

    Raises:
        BadInput: A line that is no enrolment (named by number, never quoted: it holds tokens),
            a name twice, or no machine at all.
    """
    enrolments: dict[str, Enrolment] = {}
    for number, line in enumerate(path.read_bytes().splitlines(), start=1):
        if not line.strip():
            continue
        try:
            enrolment = msgspec.json.decode(line, type=Enrolment)
        except msgspec.DecodeError as error:
            raise BadInput(f"{path.name}, line {number}: {error}") from error
        if enrolment.machine in enrolments:
            raise BadInput(f"{path.name}, line {number}: {enrolment.machine} is there already")
        enrolments[enrolment.machine] = enrolment
    if not enrolments:
        raise BadInput(f"{path.name} names no machine")
    return list(enrolments.values())
