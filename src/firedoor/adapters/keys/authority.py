"""A certificate authority for a small site: one key, the gate's certificate, and the machines'.

Keys are ECDSA on P-256, which every TLS client of the last fifteen years takes. Serial numbers
are 159 bits of chance. The authority signs nothing but servers and clients (path length 0).
"""

import ipaddress
import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from firedoor.adapters.keys.file import read_secret
from firedoor.core.errors import BadConfig, BadInput, Rejected, Unavailable
from firedoor.core.units import UnixMs

AUTHORITY_DAYS: Final = 3_650
ISSUED_DAYS: Final = 397
"""Longer ones are refused by some clients."""

LONGEST_NAME: Final = 64
"""Characters of a common name (RFC 5280, ub-common-name)."""

_EARLIER: Final = timedelta(hours=1)
_CURVE: Final = ec.SECP256R1()


@dataclass(frozen=True, slots=True)
class Pair:
    """A certificate and its key.

    Attributes:
        certificate: PEM, with the authority's after it.
        key: PEM, PKCS #8, not encrypted.
        fingerprint: SHA-256 of the certificate, hexadecimal.
        expires: When it is refused.
    """

    certificate: bytes
    key: bytes = field(repr=False)
    fingerprint: str
    expires: UnixMs


class Authority:
    """The authority in a folder: ``ca.key`` (0600) and ``ca.pem``."""

    def __init__(self, folder: Path) -> None:
        """Read it.

        Raises:
            BadConfig: It is missing, no authority, or its key may be read by others.
            Unavailable: The disk would not give it.
        """
        self.path = folder / "ca.pem"
        try:
            self.pem = self.path.read_bytes()
            self.certificate = x509.load_pem_x509_certificate(self.pem)
        except FileNotFoundError:
            raise BadConfig(
                f"there is no authority in {folder}", hint="firedoor ca init makes one"
            ) from None
        except OSError as error:
            raise Unavailable(f"{self.path} cannot be read: {error.strerror}") from error
        except ValueError as error:
            raise BadConfig(f"{self.path} is no certificate", hint="firedoor ca init") from error
        key = load_pem_private_key(read_secret(folder / "ca.key", "authority's key"), None)
        if not isinstance(key, ec.EllipticCurvePrivateKey):
            raise BadConfig(f"{folder / 'ca.key'} is no key of this authority")
        self._key = key

    @classmethod
    def create(cls, folder: Path, now: UnixMs) -> "Authority":
        """Make an authority; never over another one.

        Raises:
            Rejected: There is one.
            Unavailable: The disk would not take it.
        """
        for name in ("ca.key", "ca.pem"):
            if (folder / name).exists():
                raise Rejected(
                    f"{folder / name} is there already, and nothing was changed",
                    hint="whatever it has issued would be refused with another one",
                )
        key = ec.generate_private_key(_CURVE)
        own = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Firedoor site authority")])
        usage = x509.KeyUsage(
            digital_signature=False, content_commitment=False, key_encipherment=False,
            data_encipherment=False, key_agreement=False, key_cert_sign=True, crl_sign=True,
            encipher_only=False, decipher_only=False,
        )  # fmt: skip
        made = (
            _builder(key.public_key(), own, own, now, AUTHORITY_DAYS)
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(usage, critical=True)
            .sign(key, hashes.SHA256())
        )
        try:
            folder.mkdir(mode=0o700, exist_ok=True)
        except OSError as error:
            raise Unavailable(f"cannot make {folder}: {error.strerror}") from error
        write(folder / "ca.key", _private(key), 0o600)
        write(folder / "ca.pem", made.public_bytes(Encoding.PEM), 0o644)
        return cls(folder)

    def server(self, names: Sequence[str], now: UnixMs) -> Pair:
        """A certificate for the server that clients reach under these names and addresses.

        Raises:
            BadInput: No name, or one that cannot be.
        """
        if not names:
            raise BadInput("a server's certificate needs a name", hint="--name gate.example")
        return self._issue(names[0], [_alternative(n) for n in names], now, client=False)

    def client(self, machine: str, now: UnixMs) -> Pair:
        """A certificate for a machine: its name is the common name.

        Raises:
            BadInput: The name is too long for one.
        """
        return self._issue(checked_common_name(machine), [], now, client=True)

    def _issue(
        self, name: str, others: list[x509.GeneralName], now: UnixMs, *, client: bool
    ) -> Pair:
        key = ec.generate_private_key(_CURVE)
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name[:LONGEST_NAME])])
        usage = ExtendedKeyUsageOID.CLIENT_AUTH if client else ExtendedKeyUsageOID.SERVER_AUTH
        issuer = x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key())
        builder = (
            _builder(key.public_key(), subject, self.certificate.subject, now, ISSUED_DAYS)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(x509.ExtendedKeyUsage([usage]), critical=False)
            .add_extension(issuer, critical=False)
        )
        if others:
            builder = builder.add_extension(x509.SubjectAlternativeName(others), critical=False)
        made = builder.sign(self._key, hashes.SHA256())
        return Pair(
            certificate=made.public_bytes(Encoding.PEM) + self.pem,
            key=_private(key),
            fingerprint=made.fingerprint(hashes.SHA256()).hex(),
            expires=_moment(made),
        )


def checked_common_name(machine: str) -> str:
    """The name of a machine, if a certificate can hold it.

    Raises:
        BadInput: It is too long for one.
    """
    if len(machine) > LONGEST_NAME:
        raise BadInput(
            f"{machine[:20]}.. is too long for a certificate",
            hint=f"{LONGEST_NAME} characters at most; such a machine uses its token",
        )
    return machine


def expiry_of(path: Path) -> UnixMs:
    """When the first certificate of a PEM file expires.

    Raises:
        BadConfig: There is none in it.
        Unavailable: The file cannot be read.
    """
    return _moment(_read(path))


def names_of(path: Path) -> list[str]:
    """The names and addresses that the first certificate of a PEM file is for.

    Raises:
        BadConfig: There is none in it.
        Unavailable: The file cannot be read.
    """
    try:
        found = _read(path).extensions.get_extension_for_class(x509.SubjectAlternativeName)
    except x509.ExtensionNotFound:
        return []
    numbers = found.value.get_values_for_type(x509.IPAddress)
    return [*found.value.get_values_for_type(x509.DNSName), *(str(each) for each in numbers)]


def is_issued_by(path: Path, authority: Path) -> bool:
    """Whether the first certificate of a file was signed by another file's.

    Raises:
        BadConfig: There is none in one of them.
        Unavailable: A file cannot be read.
    """
    certificate, issuer = _read(path), _read(authority)
    try:
        certificate.verify_directly_issued_by(issuer)
    except (ValueError, TypeError, InvalidSignature):
        return False
    return True


def write(path: Path, content: bytes, mode: int) -> None:
    """Write a file whole or not at all, with these permissions from the first byte on.

    Raises:
        Unavailable: The disk would not take it.
    """
    beside = path.with_name(f".{path.name}.new")
    try:
        beside.unlink(missing_ok=True)
        descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
        with os.fdopen(descriptor, "wb") as file:
            os.fchmod(descriptor, mode)
            file.write(content)
            file.flush()
            os.fsync(descriptor)
        beside.replace(path)
    except OSError as error:
        raise Unavailable(f"{path} cannot be written: {error.strerror}") from error


def _read(path: Path) -> x509.Certificate:
    try:
        return x509.load_pem_x509_certificate(path.read_bytes())
    except OSError as error:
        raise Unavailable(f"{path} cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise BadConfig(f"{path} holds no certificate", hint="it has to be PEM") from error


def _moment(certificate: x509.Certificate) -> UnixMs:
    return UnixMs(int(certificate.not_valid_after_utc.timestamp() * 1000))


def _builder(
    key: ec.EllipticCurvePublicKey, subject: x509.Name, issuer: x509.Name, now: UnixMs, days: int
) -> x509.CertificateBuilder:
    moment = datetime.fromtimestamp(now / 1000, UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        # The clocks of clients are not ours.
        .not_valid_before(moment - _EARLIER)
        .not_valid_after(moment + timedelta(days=days))
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
    )


def _private(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def _alternative(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        pass
    try:
        return x509.DNSName(name)
    except ValueError:
        raise BadInput(
            f"{name[:80]!r} is no name of a host", hint="other alphabets: write it as xn--.."
        ) from None
