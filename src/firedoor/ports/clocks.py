"""The clocks of this host."""

from dataclasses import dataclass
from typing import Protocol

from firedoor.core.units import UnixMs


@dataclass(frozen=True, slots=True)
class Instant:
    """One reading of the clocks of this host.

    Attributes:
        boot: Identity of this boot of the host; monotonic times of two boots cannot be compared.
        mono_ms: Monotonic clock in milliseconds; the same in all processes of one boot.
        wall_ms: Wall clock. For people and records only.
    """

    boot: str
    mono_ms: int
    wall_ms: UnixMs

    def since(self, earlier: "Instant") -> int:
        """Time since an earlier reading, ms >= 0.

        Monotonic within one boot of the host; only across boots by the wall clock, which may be
        set.
        """
        if earlier.boot == self.boot:
            return max(0, self.mono_ms - earlier.mono_ms)
        return max(0, self.wall_ms - earlier.wall_ms)


class Clock(Protocol):
    """The only source of time."""

    def now(self) -> Instant:
        """Read all clocks at once."""
        ...

    def monotonic_ms(self) -> int:
        """The monotonic clock alone, as in ``now``: for what asks at every request."""
        ...
