"""What a machine has, as the console tells it."""

import msgspec


class InventoryView(msgspec.Struct, frozen=True, kw_only=True):
    """What a machine has of one part.

    Attributes:
        since_ms: Since when it has just these.
        items: Packages, programs, patches or drivers with their versions, or ``key=value``.
    """

    since_ms: int
    items: tuple[str, ...]
