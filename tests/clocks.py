"""A clock that a test holds in its hand."""

from dataclasses import dataclass

from firedoor.core.units import UnixMs
from firedoor.ports import Instant


@dataclass
class HandClock:
    """Stands still until the test moves it.

    Attributes:
        mono_ms: Monotonic clock.
        wall_ms: Wall clock, 2024-07-19 04:09 UTC at first.
        boot: Name of the boot.
    """

    mono_ms: int = 1_000_000
    wall_ms: int = 1_721_362_140_000
    boot: str = "boot-1"

    def now(self) -> Instant:
        """Read all clocks at once."""
        return Instant(self.boot, self.mono_ms, UnixMs(self.wall_ms))

    def monotonic_ms(self) -> int:
        """The monotonic clock alone."""
        return self.mono_ms

    def pass_ms(self, ms: int) -> None:
        """Let time pass on both clocks."""
        self.mono_ms += ms
        self.wall_ms += ms
