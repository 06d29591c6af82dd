"""The two Protocols behind the console: whom it reads from, and whom it asks to act."""

from collections.abc import Mapping
from typing import Final, Protocol

from firedoor.console.model import (
    ChannelView,
    Condition,
    DecisionView,
    ExposureView,
    MachineView,
    Outcome,
    ReleaseView,
    TrackPoint,
    Verb,
    VerdictView,
)

RELEASES_SHOWN: Final = 50
"""Boardings of a channel that are told of where nobody asks for more."""


class ReadModel(Protocol):
    """A consistent picture of what has been decided. Calls are short: they run in the event loop.

    Unknown names give None or nothing, never an error. Raises Unavailable if it cannot read.
    """

    def channels(self) -> list[ChannelView]:
        """All channels, in the order of the configuration."""
        ...

    def releases(
        self, channel: str, limit: int = RELEASES_SHOWN, before: int = 0
    ) -> list[ReleaseView]:
        """Boardings of the channel, newest first.

        Args:
            channel: Its name.
            limit: At most so many, >= 1.
            before: Only boardings with a smaller number; 0 for all.
        """
        ...

    def release(self, release: str) -> ReleaseView | None:
        """The latest boarding of exactly this release id."""
        ...

    def match(self, prefix: str) -> list[str]:
        """Release ids that begin with ``prefix``, any order; two are enough to know."""
        ...

    def verdict(self, release: str) -> VerdictView | None:
        """The verdict on the latest boarding of this release."""
        ...

    def machines(
        self, release: str, limit: int, after: str = "", state: Condition | None = None
    ) -> list[ExposureView]:
        """Machines enrolled for this release by name, those behind ``after``, at most ``limit``.

        With ``state`` only machines in that condition.
        """
        ...

    def machine(self, name: str) -> MachineView | None:
        """One machine."""
        ...

    def decisions(self, after: int, limit: int) -> list[DecisionView]:
        """Ledger entries with an index above ``after``, oldest first, at most ``limit``."""
        ...

    def track(self, release: str) -> list[TrackPoint]:
        """The history of the latest boarding, oldest first; at most about 2,000 points."""
        ...

    def last_index(self) -> int:
        """Index of the newest ledger entry, -1 while the ledger is empty."""
        ...

    def version(self) -> int:
        """A number that is another one whenever anything above changed. Very cheap."""
        ...


class Requests(Protocol):
    """How a person acts: the judge decides, the ledger records, then it takes effect."""

    async def submit(
        self, verb: Verb, target: str, arguments: Mapping[str, object], by: str
    ) -> Outcome:
        """Ask for one thing and wait until it has been decided and is durable.

        Args:
            verb: What is asked for.
            target: Full release id, or the channel's name for the channel verbs.
            arguments: ``reason`` and, where given, ``ring``, ``budget``, ``all``, ``approved_by``.
            by: Who asks, as they named themselves.

        Raises:
            Rejected: The request makes no sense here; nothing changed. Its subclasses
                NotFound, IllegalTransition and NotAllowed say why.
            Unavailable: The judge does not answer; it is unknown whether the request is heard.
        """
        ...
