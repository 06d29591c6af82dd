"""Who is at the other end of a relayed connection: one table, shared by relay and role.

The relay ends TLS and passes the bytes on over loopback, without changing them, so it cannot
say in a header who sent them; and a header could be sent by anybody. What it can say is which
loopback port it called from, and how much of what it was given its client has acknowledged. The
table has one place for each port. Its memory is a file without a name, which only the two processes
have; a port without an entry is a stranger on loopback.
"""

import mmap
import os
import struct
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from firedoor.ports import Certificate

INNER: Final = "127.0.0.1"
"""The only address that the relay calls from; the ports of the table are ports of it."""

_PORTS: Final = 65_536
_PLACE: Final = 512
_LENGTH: Final = struct.Struct("=H")
# At the end of a place; native, so that each is written at once.
_CALL: Final = struct.Struct("@Q")
_CALL_AT: Final = _PLACE - 2 * _CALL.size
_TAKEN_AT: Final = _PLACE - _CALL.size
_PARSED: Final = 16_384


@dataclass(frozen=True, slots=True)
class Peer:
    """Who is at the other end.

    Attributes:
        address: IP address that the connection came from.
        certificate: The certificate that was shown and verified; None where none was.
    """

    address: str
    certificate: Certificate | None = None


class Peers:
    """The table. The relay enters and removes, the role looks up."""

    def __init__(self, fd: int | None = None) -> None:
        """Make a table, or open the one that another process made.

        Args:
            fd: Descriptor of the other's table; None for a new one.

        Raises:
            OSError: There is no memory for it.
        """
        if fd is None:
            fd = os.memfd_create("firedoor-peers")
            os.ftruncate(fd, _PORTS * _PLACE)
        self.fd = fd
        """Descriptor of the memory, to be given to the other process."""
        self._memory = mmap.mmap(fd, _PORTS * _PLACE)

    def enter(self, port: int, peer: Peer) -> None:
        """Say who calls from a loopback port, before the first byte is sent from it.

        Raises:
            ValueError: A name that is too long.
        """
        shown = peer.certificate
        words = [peer.address] if shown is None else [peer.address, shown.fingerprint, shown.name]
        text = "\n".join(words).encode()
        if len(text) > _CALL_AT - _LENGTH.size:
            raise ValueError("the name in the certificate is too long")
        at = port * _PLACE
        _CALL.pack_into(self._memory, at + _CALL_AT, self.call(port) + 1)
        self.take(port, 0)
        # Its length last: a place without one is empty.
        self._memory[at + _LENGTH.size : at + _LENGTH.size + len(text)] = text
        _LENGTH.pack_into(self._memory, at, len(text))

    def remove(self, port: int) -> None:
        """Nobody calls from this port any more. Before it is closed, as it may be given away."""
        _LENGTH.pack_into(self._memory, port * _PLACE, 0)

    def take(self, port: int, taken: int) -> None:
        """Say how much the client has acknowledged of what came over this port."""
        _CALL.pack_into(self._memory, port * _PLACE + _TAKEN_AT, taken)

    def call(self, port: int) -> int:
        """How often somebody has called from this port; another one has other bytes."""
        return int(_CALL.unpack_from(self._memory, port * _PLACE + _CALL_AT)[0])

    def taken(self, port: int) -> int:
        """What was said of it last; also of a call that is over, until the next."""
        return int(_CALL.unpack_from(self._memory, port * _PLACE + _TAKEN_AT)[0])

    def is_open(self, port: int) -> bool:
        """Whether somebody calls from this port."""
        return bool(_LENGTH.unpack_from(self._memory, port * _PLACE)[0])

    def find(self, port: int) -> Peer | None:
        """Who calls from a loopback port, or None for somebody who did not come by the relay."""
        at = port * _PLACE
        (length,) = _LENGTH.unpack_from(self._memory, at)
        if not length:
            return None
        return _parse(self._memory[at + _LENGTH.size : at + _LENGTH.size + length])

    def close(self) -> None:
        """Give the memory back."""
        self._memory.close()
        os.close(self.fd)


@lru_cache(_PARSED)
def _parse(text: bytes) -> Peer:
    address, *shown = text.decode().split("\n", 2)
    return Peer(address, Certificate(shown[1], shown[0]) if shown else None)
