"""Units as types, so that a signature reads like a formula."""

from typing import NewType

LogE = NewType("LogE", float)
"""Natural logarithm of an e-value or e-process."""

UnixMs = NewType("UnixMs", int)
"""Wall clock, milliseconds since 1970-01-01 UTC. For people and records, never for deadlines."""

Digest = NewType("Digest", str)
"""SHA-256 in 64 lower-case hexadecimal digits."""

MachineNo = NewType("MachineNo", int)
"""A machine's row number in the register: dense, from 1, never used again."""
