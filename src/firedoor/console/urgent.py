"""What is urgent, as it is shown: fast lanes, orders that wait, exploited vulnerabilities.

Conventions as in ``console.model``.
"""

import msgspec


class LaneView(msgspec.Struct, frozen=True, kw_only=True):
    """A fast lane: a harm budget that a person widened for a time.

    Attributes:
        slots: Machines that the budget is wider by.
        ends_ms: When it ends by itself.
    """

    slots: int
    ends_ms: int


class WaitingOrder(msgspec.Struct, frozen=True, kw_only=True):
    """An order that the policy lets no one person give, and that waits for a second one.

    Attributes:
        number: What ``approve`` names it by.
        verb: What is asked for.
        by: Who asks.
        reason: Why.
        ring: One ring, or ``""`` for all.
        budget: Of ``expedite``: machines more that may be put at risk, None for everybody.
        lasts_s: Of ``expedite``: after so many seconds the budget ends by itself, None for never.
        until_ms: When the order lapses.
    """

    number: int
    verb: str
    by: str
    reason: str
    ring: str
    budget: int | None
    lasts_s: int | None
    until_ms: int


class ExploitedView(msgspec.Struct, frozen=True, kw_only=True):
    """A vulnerability that a release names and that is known to be exploited.

    Attributes:
        cve: Its identifier.
        name: What the list calls it.
        added: Day it came on the list, ``YYYY-MM-DD``.
        ransomware: It is known to be used by ransomware.
        source: The file that names it, or the person who says so.
    """

    cve: str
    name: str
    added: str
    ransomware: bool
    source: str
