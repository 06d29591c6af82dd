"""What every endpoint of the intake works with, made once."""

from dataclasses import dataclass

from firedoor.core.definition import Definitions
from firedoor.intake.body import Budget
from firedoor.intake.collectors import Collectors
from firedoor.intake.commit import GroupCommit
from firedoor.intake.heartbeats import Heartbeats
from firedoor.intake.quota import Quota
from firedoor.intake.voices import Voices
from firedoor.ports import Clock, Register


@dataclass(frozen=True, slots=True)
class Reception:
    """The parts that the endpoints share.

    Attributes:
        register: Knows machines, collectors and their tokens.
        voices: Whom a sender may speak for.
        commit: Makes durable what was found; the only user of the store.
        clock: This host's clocks.
        collectors: When collectors sent something.
        heartbeats: When machines were last heard, and how far their clocks are off.
        quota: Events of the running minute, by machine and kind.
        budget: Bytes of bodies that are in memory.
        definitions: Which records of machines' logs are signals.
        max_body: Largest body, bytes, as sent and after unpacking.
    """

    register: Register
    voices: Voices
    commit: GroupCommit
    clock: Clock
    collectors: Collectors
    heartbeats: Heartbeats
    quota: Quota
    budget: Budget
    definitions: Definitions
    max_body: int
