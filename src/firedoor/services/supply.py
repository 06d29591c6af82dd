"""Supply: files that a release names and nobody holds, from the first request to the first byte.

The gate writes down what a machine waits for; the process that mirrors reads that, fetches and
verifies it, and stores the bytes, or says why it cannot. Either process may die at any moment:
what was written down and not fetched is fetched when the mirror is back, or asked for again.
Source: ADR 0025.
"""

from dataclasses import dataclass

from firedoor.core.units import Digest


@dataclass(frozen=True, slots=True)
class Wanted:
    """A file that is to be fetched.

    Attributes:
        channel: Name of the channel.
        path: Where upstream has it.
        sha256: Digest the index promised.
        size: Bytes the index promised.
        number: Its row; 0 before it has one.
    """

    channel: str
    path: str
    sha256: Digest
    size: int
    number: int = 0


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a file was not fetched.

    Attributes:
        channel: Name of the channel.
        path: Where upstream should have it.
        sha256: Digest the index promised.
        gone: Upstream has no such file.
        error: One sentence.
        number: Its row; 0 before it has one.
    """

    channel: str
    path: str
    sha256: Digest
    gone: bool
    error: str
    number: int = 0
