"""The TLS context of a listening socket, made from files, and made again when they change."""

import ssl
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from firedoor.core.errors import BadConfig

_Stamp = tuple[tuple[int, int, int] | None, ...]
"""Of each file: inode, time of the last change, size; None where there is none."""

_NO_TICKETS: Final = ssl.OP_NO_TICKET


@dataclass(frozen=True, slots=True)
class TlsFiles:
    """What a server proves itself with, and whose word it takes about clients.

    Attributes:
        certificate: PEM, the server's certificate and whatever stands between it and the root.
        key: PEM, its private key, not encrypted.
        client_ca: PEM, the authorities whose client certificates are believed; None for none.
    """

    certificate: Path
    key: Path
    client_ca: Path | None = None

    def stamp(self) -> _Stamp:
        """What changes whenever one of the files does."""
        return tuple(_stamp(path) for path in (self.certificate, self.key, self.client_ca) if path)


def make_context(files: TlsFiles, *, http2: bool) -> ssl.SSLContext:
    """Read the files.

    Args:
        files: Where they are.
        http2: Whether HTTP/2 is offered beside HTTP/1.1.

    Raises:
        BadConfig: A file is missing, no PEM, does not fit to the others, or is a key that
            everybody on this host may read.
    """
    _expect_private(files.key)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["h2", "http/1.1"] if http2 else ["http/1.1"])
    try:
        context.load_cert_chain(files.certificate, files.key, password=_refuse_to_ask)
    except FileNotFoundError:
        missing = files.key if files.certificate.exists() else files.certificate
        raise _unread(missing, "there is no such file") from None
    except ssl.SSLError as error:
        if error.reason == "KEY_VALUES_MISMATCH":
            raise BadConfig(
                f"{files.key} is not the key of the certificate {files.certificate}",
                hint="both files have to come from the same request",
            ) from None
        raise _unread(files.certificate, f"with {files.key}: {_reason(error)}") from None
    except OSError as error:
        raise _unread(files.certificate, error.strerror or str(error)) from None
    if files.client_ca is not None:
        _believe(context, files.client_ca)
    return context


class Renewal:
    """Notices that the files have changed. Not for several threads."""

    def __init__(self, files: TlsFiles, *, http2: bool) -> None:
        """Read the files the first time.

        Raises:
            BadConfig: As ``make_context``.
        """
        self._files = files
        self._http2 = http2
        self._stamp = self._refused = files.stamp()
        self._trusted = _bytes(files.client_ca)
        self.context = make_context(files, http2=http2)
        """The newest context that could be made."""
        self.distrusts = False
        """Whether ``context`` believes other authorities than the one before it."""

    def changed(self) -> bool:
        """Look again; say whether there is another context.

        Files that do not fit are no reason to stop: they are tried again when they change.

        Raises:
            BadConfig: They do not fit; told once for each change.
        """
        stamp = self._files.stamp()
        if stamp in (self._stamp, self._refused):
            return False
        self._refused = stamp
        self.context = make_context(self._files, http2=self._http2)
        trusted = _bytes(self._files.client_ca)
        self.distrusts, self._trusted = trusted != self._trusted, trusted
        self._stamp = stamp
        return True


def _believe(context: ssl.SSLContext, client_ca: Path) -> None:
    try:
        context.load_verify_locations(client_ca)
    except ssl.SSLError as error:
        raise _unread(client_ca, _reason(error)) from None
    except OSError as error:
        raise _unread(client_ca, error.strerror or str(error)) from None
    # Asked for, not insisted on: whoever has none may say who it is by a token.
    context.verify_mode = ssl.CERT_OPTIONAL
    # A resumed session would be believed without a look at its certificate's dates.
    context.options |= _NO_TICKETS
    context.num_tickets = 0


def _expect_private(key: Path) -> None:
    try:
        mode = key.stat().st_mode
    except OSError as error:
        raise _unread(key, error.strerror or str(error)) from None
    if mode & stat.S_IRWXO:
        raise BadConfig(
            f"everybody on this host may read the key {key}",
            hint=f"chmod o= {key}; where others may have read it, get another certificate",
        )


def _refuse_to_ask() -> str:
    # Without it OpenSSL would ask on the terminal, and a service would wait for ever.
    raise ssl.SSLError(1, "the key is encrypted; a service cannot ask for its password")


def _reason(error: ssl.SSLError) -> str:
    return (error.reason or str(error.args[-1])).lower().replace("_", " ")


def _unread(path: Path, why: str) -> BadConfig:
    return BadConfig(
        f"the TLS file {path} cannot be used: {why}",
        hint="it has to be PEM, readable by the user that Firedoor runs as",
    )


def _stamp(path: Path) -> tuple[int, int, int] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_ino, found.st_mtime_ns, found.st_size


def _bytes(path: Path | None) -> bytes:
    return b"" if path is None else path.read_bytes()
