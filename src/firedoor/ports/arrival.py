"""What a server says of its clients: who shows a certificate, what they have, who has gone."""

from dataclasses import dataclass
from typing import Final, Protocol


@dataclass(frozen=True, slots=True)
class Certificate:
    """A client's TLS certificate, whose chain and dates have been verified.

    Attributes:
        name: Common name of its subject.
        fingerprint: SHA-256 of the certificate, hexadecimal.
    """

    name: str
    fingerprint: str


CERTIFICATE: Final = "firedoor.certificate"
"""Key of an ASGI scope under which TLS puts the client's ``Certificate``, if it has shown one."""


ARRIVAL: Final = "firedoor.arrival"
"""Key of an ASGI scope under which a server that knows it has the ``Arrival`` of its replies."""


class Arrival(Protocol):
    """What a client has acknowledged on one connection, in a unit of the server's own."""

    def given(self) -> int:
        """What has to be acknowledged for all that ``send`` has returned for on this reply."""
        ...

    def taken(self) -> int:
        """What is acknowledged so far."""
        ...

    def over(self) -> bool:
        """Whether nothing more can be acknowledged."""
        ...


class ClientGone(OSError):
    """What an ASGI server raises in ``send`` when the client has gone.

    Attributes:
        taken: Bytes of this part of a file that were on their way before, >= 0.
    """

    def __init__(self, taken: int = 0) -> None:
        super().__init__("the client has gone")
        self.taken = taken
