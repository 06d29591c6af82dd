"""Who is asking: a machine's TLS certificate, or its read token by Basic or in the path.

Per-machine state is keyed on nothing else: machines behind one NAT share their address and
their User-Agent (clients.md, fact 10).
"""

import base64
import binascii

from firedoor.ports import Certificate, Register

Shown = bytes | str | Certificate
"""What a client says who it is with: an ``Authorization`` header, a path token, a certificate."""

_READ = "read"
_REMEMBERED = 100_000
_LOOKS_REMEMBERED = 1_200


class Doorbell:
    """Tells machines apart. Remembers recent credentials until the register changes."""

    def __init__(self, register: Register, order: tuple[str, ...]) -> None:
        """Accept the ways of identifying in ``order`` (``[gate].identify``)."""
        self._register = register
        self.reads_headers = "basic" in order
        self._path = "path" in order
        self.anonymous = "address" in order
        self.reads_certificates = "certificate" in order
        self._before: dict[str, bool] = {
            way: "certificate" in order and order.index("certificate") < order.index(way)
            for way in ("basic", "path")
            if way in order
        }
        self._version = register.version()
        self._known: dict[Shown, int] = {}
        self._looks = 0

    def changed(self) -> bool:
        """Forget everybody if the register has changed; say whether it has.

        Called at every look of the gate, twenty a second. Once a minute everybody is forgotten in
        any case: a token that expires changes nothing in the register.
        """
        self._looks += 1
        self._register.let_go()
        version = self._register.version()
        if version != self._version or self._looks >= _LOOKS_REMEMBERED:
            self._looks = 0
            self._known.clear()
        if version == self._version:
            return False
        self._version = version
        return True

    def prefers_certificate(self, other: Shown | None) -> bool:
        """Whether a certificate is tried before what else the client has shown."""
        way = "path" if isinstance(other, str) else "basic"
        return other is None or self._before.get(way, True)

    def by_shown(self, shown: Shown) -> int:
        """Register number behind whatever a client has shown, 0 for nobody."""
        if isinstance(shown, Certificate):
            return self.by_certificate(shown)
        return self.by_header(shown) if isinstance(shown, bytes) else self.by_token(shown)

    def by_certificate(self, certificate: Certificate) -> int:
        """Register number of the machine that the certificate names, 0 for nobody."""
        number = self._known.get(certificate)
        if number is None:
            allowed = self.reads_certificates
            found = self._register.certified(certificate.name, certificate.fingerprint)
            number = found if allowed and found is not None else 0
            self._remember(certificate, number)
        return number

    def by_header(self, authorization: bytes) -> int:
        """Register number behind an ``Authorization`` header, 0 for nobody."""
        number = self._known.get(authorization)
        if number is None:
            number, usual = self._basic_number(authorization) if self.reads_headers else (0, b"")
            # One spelling of each: with any other a single machine could fill the memory.
            if authorization == usual:
                self._remember(authorization, number)
        return number

    def by_token(self, token: str) -> int:
        """Register number behind a token in the path, 0 for nobody."""
        number = self._known.get(token)
        if number is None:
            number = self._number(token, "") if self._path else 0
            self._remember(token, number)
        return number

    def _remember(self, key: Shown, number: int) -> None:
        # Only who is known: a stranger must not be able to fill the memory.
        if number:
            if len(self._known) >= _REMEMBERED:
                self._known.clear()
            self._known[key] = number

    def _basic_number(self, authorization: bytes) -> tuple[int, bytes]:
        """Register number, and the usual spelling of the header."""
        scheme, _, credentials = authorization.partition(b" ")
        if scheme.lower() != b"basic":
            return 0, b""
        try:
            shown = base64.b64decode(credentials.strip(), validate=True)
            name, colon, token = shown.decode().partition(":")
        except (binascii.Error, UnicodeDecodeError):
            return 0, b""
        number = self._number(token, name) if colon and name else 0
        return number, b"Basic " + base64.b64encode(shown)

    def _number(self, token: str, name: str) -> int:
        # Until the next look at the register, which comes within the twentieth part of a second.
        self._register.hold()
        identity = self._register.identify(token, _READ)
        if identity is None:
            # It may have been enrolled since.
            self._register.let_go()
            identity = self._register.identify(token, _READ)
        if identity is None or identity.machine is None:
            return 0
        return identity.machine if name in ("", identity.name) else 0
