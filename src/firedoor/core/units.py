"""Units as types, so that a signature reads like a formula."""

from typing import NewType

LogE = NewType("LogE", float)
"""Natural logarithm of an e-value or e-process."""

UnixMs = NewType("UnixMs", int)
"""Wall-clock time, milliseconds since 1970-01-01 UTC. For people and records, never for deadlines."""

MonoMs = NewType("MonoMs", int)
"""Monotonic clock of this boot of the host, milliseconds. Every deadline runs on it.

It does not follow steps of the wall clock. Two readings can be compared only within one boot.
"""

Digest = NewType("Digest", str)
"""SHA-256 in 64 lower-case hexadecimal digits."""

MachineNo = NewType("MachineNo", int)
"""A machine's row number in the register: dense, from 1, never used again."""
