"""An order: what a person asks of doors, and what came of it."""

from dataclasses import dataclass
from typing import NotRequired, TypedDict

import msgspec


class Order(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One request of a person.

    Attributes:
        verb: One of ``orders.VERBS``. ``unblock`` is ``release resume CHANNEL``.
        by: Who asks. Never empty.
        reason: Why, for the record.
        channel: Channel, for ``sync``, ``unblock``, ``pick``, ``pin`` and ``unpin``.
        release: Release id, for the others.
        ring: One ring, or "" for all.
        budget: Fresh machines to put at risk, for ``expedite``.
        lasts_ms: After so long ``budget`` ends by itself, None for never, for ``expedite``.
        all: Admit everybody now, for ``expedite``.
        approved_by: A second person, where the policy wants one.
        cves: CVE identifiers that the release has to do with, for ``note``.
        order: Number of the order that waits for a second person, for ``approve``.
        packages: Packages of ``release`` that everybody is to have before the rest of it, for
            ``pick``; without a release, of the newest one that upstream offers.
    """

    verb: str
    by: str
    reason: str = ""
    channel: str = ""
    release: str = ""
    ring: str = ""
    budget: int | None = None
    lasts_ms: int | None = None
    all: bool = False
    approved_by: str = ""
    order: int = 0
    cves: tuple[str, ...] = ()
    packages: tuple[str, ...] = ()

    @property
    def who(self) -> str:
        """Everybody who stands behind it, for the record."""
        second = self.approved_by.strip()
        return f"{self.by} and {second}" if second else self.by


class Moved(TypedDict):
    """A door that an order moved, as it is answered.

    Attributes:
        ring: Its ring.
        state: Where it is.
        reason: Why.
        serves: After ``shut``: the release its machines get from now on, "" for none.
        whole: After ``shut``: all bytes of that release are held.
    """

    ring: str
    state: str
    reason: str
    serves: NotRequired[str]
    whole: NotRequired[bool]


@dataclass(frozen=True, slots=True)
class Answer:
    """What came of an order: ``ok``, or the class of the error, and a body as JSON."""

    status: str
    body: str
