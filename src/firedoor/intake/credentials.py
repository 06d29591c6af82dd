"""Credentials: who sends a request.

In a path only where a client can send nothing else; a path ends up in other people's logs.
"""

import binascii
from base64 import b64decode

from firedoor.core.errors import NotAllowed
from firedoor.core.machine import Purpose
from firedoor.ports import Certificate, Identity, Register


def authenticate(
    register: Register,
    authorization: bytes,
    path_token: str | None,
    certificate: Certificate | None = None,
) -> Identity:
    """Find out who sends a request.

    A token counts before a certificate: a collector may have one of each, and speaks for more.

    Args:
        register: Knows the tokens.
        authorization: Value of the header, or empty. ``Bearer <token>``, or ``Basic`` with the
            name as user and the token as password.
        path_token: The token from ``/m/<token>/...``; it is used before the header.
        certificate: The client's, verified; it may post the signals of the machine it names.

    Raises:
        NotAllowed: No credentials, or not such that post signals. The message never says which
            part was wrong, and holds no part of a token.
        Unavailable: The register cannot be read.
    """
    if certificate is not None and not authorization and path_token is None:
        machine = register.certified(certificate.name, certificate.fingerprint)
        if machine is None:
            raise NotAllowed(
                "the certificate shown is that of no machine",
                hint="its common name has to be the name of a machine that is enrolled",
            )
        return Identity(machine, certificate.name)
    user, token = (None, path_token) if path_token is not None else _parse(authorization)
    identity = register.identify(token, Purpose.SIGNAL)
    if identity is None or (user is not None and user != identity.name):
        raise NotAllowed(
            "these credentials may not post signals",
            hint="the signal token of the machine is needed; the read token works at the gate only",
        )
    return identity


def _parse(authorization: bytes) -> tuple[str | None, str]:
    scheme, _, value = authorization.partition(b" ")
    value = value.strip()
    match scheme.lower():
        case b"bearer":
            return None, value.decode("utf-8", "replace")
        case b"basic":
            try:
                user, _, password = b64decode(value).decode().partition(":")
            except (binascii.Error, UnicodeDecodeError):
                raise NotAllowed("the Basic credentials cannot be read") from None
            return user, password
        case _:
            raise NotAllowed("credentials are needed", hint="send the machine's signal token")
