"""The system's clocks, read in one place."""

import time
import uuid
from pathlib import Path

from firedoor.core.units import UnixMs
from firedoor.ports import Instant

_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


class SystemClock:
    """The clocks of this host.

    Where the kernel names its boot, all processes of one boot agree on the name. Elsewhere each
    process takes a name of its own: two processes then never compare their monotonic times,
    which is always safe (a gap is taken for downtime), and never right by accident.
    """

    def __init__(self) -> None:
        self._boot = _boot_id(_BOOT_ID)

    def now(self) -> Instant:
        """Read all clocks at once."""
        return Instant(
            boot=self._boot,
            mono_ms=time.monotonic_ns() // 1_000_000,
            wall_ms=UnixMs(time.time_ns() // 1_000_000),
        )

    def monotonic_ms(self) -> int:
        """The monotonic clock alone."""
        return time.monotonic_ns() // 1_000_000


def _boot_id(path: Path) -> str:
    try:
        text = path.read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError):
        text = ""
    return text or f"process-{uuid.uuid4()}"
