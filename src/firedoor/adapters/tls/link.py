"""One relayed connection: a client's TLS on one side, a loopback socket on the other."""

import fcntl
import socket
import ssl
import struct
import termios
import time
from contextlib import suppress
from hashlib import sha256
from typing import Final

from firedoor.adapters.tls.arrival import Endings
from firedoor.adapters.tls.peers import Peer
from firedoor.ports import Certificate

PIECE_BYTES: Final = 64 * 1024
"""Most that is read at a time, and so most that is held of a connection in each direction."""


class Ended(Exception):
    """This connection is over, in order or not."""


class Link:
    """One connection.

    Attributes:
        client: The client's socket.
        inner: The socket to loopback; None before the client has said anything.
        peer: Who the client is, as far as is known.
        chosen: The protocol that was agreed on in the handshake, "" for none.
        connecting: The loopback socket is not connected yet.
        ending: Nothing more will come from it.
        moved: When anything moved last, monotonic seconds.
        behind: Since when something waits for the client, monotonic seconds; None: nothing does.
        until: When the client's certificate expires, monotonic seconds.
        context: The TLS context that the handshake was made with.
        client_mask: Events that the client's socket is watched for.
        inner_mask: Events that the other one is watched for.
        endings: Of the replies of HTTP/2; None for HTTP/1.1.
        passed: Bytes of replies that were read from the loopback socket.
    """

    __slots__ = (
        "_incoming", "_outgoing", "_shaken", "_tls", "behind", "chosen", "client", "client_mask",
        "connecting", "context", "ending", "endings", "inner", "inner_mask", "moved", "passed",
        "peer", "port", "to_client", "to_inner", "until",
    )  # fmt: skip

    def __init__(
        self, client: socket.socket, address: str, context: ssl.SSLContext, now: float
    ) -> None:
        """A connection that was just accepted."""
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._incoming, self._outgoing, server_side=True)
        self._shaken = False
        self.client = client
        self.inner: socket.socket | None = None
        self.connecting = self.ending = False
        self.to_client: bytes = b""
        self.to_inner: bytes = b""
        self.port = 0
        self.peer = Peer(address)
        self.chosen = ""
        self.context = context
        self.moved = now
        self.behind: float | None = None
        self.until = float("inf")
        self.client_mask = self.inner_mask = self.passed = 0
        self.endings: Endings | None = None

    def hear(self, scratch: memoryview) -> bytes:
        """Read from the client; what it has said, deciphered, empty if that is not whole yet.

        Raises:
            Ended: The client has ended, or does not speak TLS as it should.
            OSError: The network.
        """
        try:
            length = self.client.recv_into(scratch)
        except BlockingIOError:
            return b""
        if not length:
            raise Ended
        self._incoming.write(scratch[:length])
        try:
            if not self._shaken:
                self._shake()
            return self._decipher() if self._shaken else b""
        finally:
            # Also what is said about a handshake that failed.
            self._collect()

    def tell(self, data: memoryview) -> None:
        """Encipher something for the client; it waits in ``to_client``."""
        self.passed += len(data)
        if self.endings is not None:
            self.endings.read(data)
        self._tls.write(data)
        self._collect()

    def taken(self) -> int | None:
        """What the client has acknowledged (``arrival``), if that is all; None: not yet."""
        if self.to_client or any(fcntl.ioctl(self.client, termios.TIOCOUTQ, bytes(4))):
            return None
        return self.passed if self.endings is None else self.endings.count

    def flush(self) -> int:
        """Send the client what waits for it, as far as it takes it; how many bytes went."""
        sent = 0
        if self.to_client:
            with suppress(BlockingIOError):
                sent = self.client.send(self.to_client)
            self.to_client = self.to_client[sent:]
        return sent

    def pass_on(self, data: memoryview | bytes = b"") -> None:
        """Send loopback what waits for it, or ``data`` where nothing waits."""
        waiting = self.to_inner or data
        sent = 0
        if self.inner is not None and not self.connecting:
            with suppress(BlockingIOError):
                sent = self.inner.send(waiting)
        self.to_inner = bytes(waiting[sent:])

    def forget(self) -> None:
        """Have the kernel drop what it holds for the client as soon as the link parts."""
        self.client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("=ii", 1, 0))

    def part(self) -> None:
        """Say that nothing was cut off, if nothing was; then close both sockets."""
        if self._shaken and not self.to_client:
            with suppress(OSError, ValueError):
                self._tls.unwrap()
            self._collect()
        with suppress(OSError):
            self.flush()
        self.client.close()
        if self.inner is not None:
            self.inner.close()

    def _shake(self) -> None:
        try:
            self._tls.do_handshake()
        except ssl.SSLWantReadError:
            return
        self._shaken = True
        self.chosen = self._tls.selected_alpn_protocol() or ""
        shown = self._tls.getpeercert(binary_form=True)
        if shown:
            self._know(shown)

    def _know(self, shown: bytes) -> None:
        """Take down a certificate that was verified."""
        said = self._tls.getpeercert() or {}
        left_s = ssl.cert_time_to_seconds(str(said["notAfter"])) - time.time()
        self.until = time.monotonic() + left_s
        subject: tuple[tuple[tuple[str, str], ...], ...] = said.get("subject", ())  # type: ignore[assignment]  # typeshed says less than it is
        names = [value for part in subject for key, value in part if key == "commonName"]
        if len(names) != 1 or not names[0].isprintable():
            raise Ended
        self.peer = Peer(self.peer.address, Certificate(names[0], sha256(shown).hexdigest()))

    def _decipher(self) -> bytes:
        pieces = []
        try:
            while self._incoming.pending or self._tls.pending():
                piece = self._tls.read(PIECE_BYTES)
                if not piece:
                    raise Ended
                pieces.append(piece)
        except ssl.SSLWantReadError:
            pass
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def _collect(self) -> None:
        if self._outgoing.pending:
            data = self._outgoing.read()
            self.to_client = self.to_client + data if self.to_client else data
