"""Secrets as files: the ledger's signing key, the root key of admission, the console's token.

Three rules hold for all of them. A secret is made once and never overwritten: whoever replaces
the root key or the signing key breaks what was promised with the old one. A file that is there is
complete, even after a power cut. And a secret that others on this machine may read is refused,
because nobody can tell whether they did.
"""

import contextlib
import os
import re
import secrets
import stat
from pathlib import Path
from typing import Final

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
    load_pem_public_key,
)

from firedoor.core.errors import BadConfig, FiredoorError, Unavailable

ROOT_KEY_BYTES: Final = 32
"""Length of the root key that admission seeds are derived from: one HMAC-SHA-256 key."""

TOKEN_BYTES: Final = 32
"""Chance in a console token, bytes before they are written as URL-safe text."""

_MAX_BYTES: Final = 16 * 1024  # no secret is longer; a wrong path may be a disk image
_OTHERS: Final = stat.S_IRWXG | stat.S_IRWXO
_TOKEN: Final = re.compile(r"[A-Za-z0-9_-]{22,256}")  # 22 URL-safe characters: 128 bits


class Signer:
    """An Ed25519 private key that signs, and shows nothing else of itself."""

    __slots__ = ("_key", "public_key")

    def __init__(self, key: Ed25519PrivateKey) -> None:
        self._key = key
        self.public_key: bytes = key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
        """The public key, 32 bytes."""

    def sign(self, payload: bytes) -> bytes:
        """Sign bytes; 64 bytes, the same for the same payload (RFC 8032)."""
        return self._key.sign(payload)

    def __repr__(self) -> str:
        """Name the key by its public half, so that a log line may hold it."""
        return f"Signer({self.public_key.hex()})"


def public_path(path: Path) -> Path:
    """Where the public half of a signing key lies: beside it, with ``.pub`` added."""
    return path.with_name(path.name + ".pub")


def create_signing_key(path: Path) -> Signer:
    """Make a signing key: ``path`` (PKCS #8 PEM, 0600) and ``public_path(path)`` (PEM, 0644).

    Both are formats that OpenSSL reads, so a ledger can be checked without Firedoor.

    Raises:
        BadConfig: One of the files is there already, or the folder is missing.
        Unavailable: The disk would not take it.
    """
    if public_path(path).exists():
        raise _there_already(public_path(path), "public key")
    key = Ed25519PrivateKey.generate()
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    _create(path, private, 0o600, "signing key")
    _write_public(path, key.public_key())
    return Signer(key)


def load_signing_key(path: Path) -> Signer:
    """Read a signing key; make its public file again where a crash or a person lost it.

    Raises:
        BadConfig: The file is missing, open to others, or not an Ed25519 private key; or the
            public file belongs to another key.
        Unavailable: The disk would not give it.
    """
    data = read_secret(path, "signing key")
    try:
        key = load_pem_private_key(data, password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise _not_a(path, "an unencrypted private key in PEM form") from error
    if not isinstance(key, Ed25519PrivateKey):
        raise _not_a(path, "an Ed25519 private key")
    signer = Signer(key)
    if not public_path(path).exists():
        # Not needed to run: the folder may be read-only, or another process quicker.
        with contextlib.suppress(FiredoorError):
            _write_public(path, key.public_key())
    elif load_public_key(public_path(path)) != signer.public_key:
        raise BadConfig(
            f"{public_path(path)} is not the public half of {path}",
            hint="one of the two was replaced; bring the pair back from the same backup",
        )
    return signer


def load_public_key(path: Path) -> bytes:
    """Read a public key file; 32 bytes.

    Raises:
        BadConfig: The file is missing or not an Ed25519 public key.
        Unavailable: The disk would not give it.
    """
    data = _read(path, "public key")
    try:
        key = load_pem_public_key(data)
    except (ValueError, UnsupportedAlgorithm) as error:
        raise _not_a(path, "a public key in PEM form") from error
    if not isinstance(key, Ed25519PublicKey):
        raise _not_a(path, "an Ed25519 public key")
    return key.public_bytes(Encoding.Raw, PublicFormat.Raw)


def create_root_key(path: Path) -> bytes:
    """Make the root key of admission: ``ROOT_KEY_BYTES`` of chance, one line of hexadecimal, 0600.

    Raises:
        BadConfig: The file is there already, or the folder is missing.
        Unavailable: The disk would not take it.
    """
    key = secrets.token_bytes(ROOT_KEY_BYTES)
    _create(path, key.hex().encode() + b"\n", 0o600, "root key")
    return key


def load_root_key(path: Path) -> bytes:
    """Read the root key; ``ROOT_KEY_BYTES`` bytes.

    Raises:
        BadConfig: The file is missing, open to others, or not a root key.
        Unavailable: The disk would not give it.
    """
    data = read_secret(path, "root key").strip()
    if not re.fullmatch(rb"[0-9a-f]{%d}" % (2 * ROOT_KEY_BYTES), data):
        raise _not_a(path, f"a root key of {2 * ROOT_KEY_BYTES} lower-case hexadecimal digits")
    return bytes.fromhex(data.decode())


def create_token(path: Path) -> str:
    """Make the console's bearer token: one line of URL-safe text, 0600.

    Raises:
        BadConfig: The file is there already, or the folder is missing.
        Unavailable: The disk would not take it.
    """
    token = secrets.token_urlsafe(TOKEN_BYTES)
    _create(path, token.encode() + b"\n", 0o600, "token")
    return token


def load_token(path: Path) -> str:
    """Read a bearer token.

    Raises:
        BadConfig: The file is missing, open to others, or holds no token of 128 bits or more.
        Unavailable: The disk would not give it.
    """
    token = read_secret(path, "token").decode("ascii", "replace").strip()
    if not _TOKEN.fullmatch(token):
        raise _not_a(path, "a token of 22 or more URL-safe characters")
    return token


def read_secret(path: Path, what: str) -> bytes:
    """Read a small file that only its owner may read; ``what`` it is, for messages.

    Raises:
        BadConfig: The file is missing or open to others.
        Unavailable: The disk would not give it.
    """
    return _read(path, what, secret=True)


def _write_public(path: Path, key: Ed25519PublicKey) -> None:
    public = key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    _create(public_path(path), public, 0o644, "public key")


def _create(path: Path, data: bytes, mode: int, what: str) -> None:
    """Write a new file that is never seen incomplete and never takes another's place."""
    aside = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    try:
        try:
            _write_durably(aside, data, mode)
            # A link, not a rename: it fails when somebody made the file in the meantime.
            os.link(aside, path)
        finally:
            with contextlib.suppress(FileNotFoundError):
                aside.unlink()
        _sync_folder(path.parent)
    except FileExistsError as error:
        raise _there_already(path, what) from error
    except OSError as error:
        raise _os_error(path, what, error) from error


def _write_durably(path: Path, data: bytes, mode: int) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(data)
        file.flush()
        os.fchmod(file.fileno(), mode)  # whatever the umask says
        os.fsync(file.fileno())


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _read(path: Path, what: str, *, secret: bool = False) -> bytes:
    """Read a small file, its rights checked on the open file so that none can be slipped in."""
    try:
        with open(path, "rb", opener=_open_without_waiting) as file:
            about = os.fstat(file.fileno())
            if not stat.S_ISREG(about.st_mode):
                raise _not_a(path, "a file")
            if secret:
                _refuse_open_to_others(path, what, about)
            data = file.read(_MAX_BYTES + 1)
    except OSError as error:
        raise _os_error(path, what, error) from error
    if len(data) > _MAX_BYTES:
        raise _not_a(path, f"a {what}: it has more than {_MAX_BYTES} bytes")
    return data


def _open_without_waiting(path: str, flags: int) -> int:
    """Open even a pipe that nobody writes to, so that it can be refused."""
    return os.open(path, flags | os.O_NONBLOCK)


def _refuse_open_to_others(path: Path, what: str, about: os.stat_result) -> None:
    if about.st_mode & _OTHERS:
        raise BadConfig(
            f"the {what} {path} is open to others (mode {stat.S_IMODE(about.st_mode):04o})",
            hint=f"chmod 600 {path}; if others use this machine, make a new one",
        )
    if about.st_uid not in {0, os.geteuid()}:
        raise BadConfig(
            f"the {what} {path} belongs to user {about.st_uid}",
            hint=f"chown it to user {os.geteuid()}, who runs Firedoor",
        )


def _there_already(path: Path, what: str) -> BadConfig:
    return BadConfig(
        f"the {what} {path} is there already",
        hint="it is never overwritten; move it away only if nothing made with it matters",
    )


def _not_a(path: Path, what: str) -> BadConfig:
    return BadConfig(
        f"{path} is not {what}", hint="check the path, or bring the file back from a backup"
    )


def _os_error(path: Path, what: str, error: OSError) -> FiredoorError:
    match error:
        case FileNotFoundError():
            return BadConfig(
                f"the {what} {path} is missing", hint="`firedoor init` makes folder and keys"
            )
        case PermissionError() | NotADirectoryError() | IsADirectoryError():
            return BadConfig(
                f"the {what} {path} cannot be used: {error.strerror}",
                hint=f"user {os.geteuid()} needs the right to read it and to write in its folder",
            )
        case _:
            return Unavailable(f"the {what} {path}: {error.strerror or error}")
