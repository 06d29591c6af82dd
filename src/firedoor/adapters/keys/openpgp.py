"""OpenPGP signatures of vendors, checked by Debian's own ``gpgv``.

What is returned is what the signature covers, and nothing that stands around it in the file: a
reader of the whole file could be shown lines that nobody signed.

Source: gpg, doc/DETAILS (status lines).
"""

import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from firedoor.core.errors import BadConfig, Unavailable, Untrusted

_GPGV: Final = "gpgv"
_TIMEOUT_S: Final = 30.0
_STATUS: Final = "[GNUPG:] "
_ARMOUR: Final = b"-----BEGIN PGP PUBLIC KEY BLOCK-----"
_HINT: Final = "look at the keys of the channel; a vendor that changes its key announces it"

# What apt takes for no signature as well.
_WEAK_HASHES: Final = frozenset({"1", "2", "3"})  # MD5, SHA-1, RIPEMD-160 (RFC 4880, 9.4)


class Keyring:
    """The keys that a channel believes.

    Args:
        files: OpenPGP public keys, binary; one of them has to have signed.

    Raises:
        BadConfig: A file cannot be read, or is armoured, which ``gpgv`` does not read.
    """

    def __init__(self, files: Sequence[Path]) -> None:
        if not files:
            raise BadConfig("no keys to check signatures by", hint="set keys for the channel")
        for file in files:
            try:
                with file.open("rb") as opened:
                    begin = opened.read(len(_ARMOUR))
            except OSError as error:
                raise BadConfig(f"the key {file} cannot be read: {error.strerror}") from error
            if begin == _ARMOUR:
                raise BadConfig(
                    f"the key {file} is armoured",
                    hint=f"gpg --dearmor < {file.name} > {file.stem}.gpg",
                )
        self._arguments = [word for file in files for word in ("--keyring", str(file.absolute()))]

    def verified(self, signed: bytes) -> bytes:
        """The text of a file that carries its own signature (``InRelease``).

        Raises:
            Untrusted: Nobody of the keyring signed it, or it was changed.
            Unavailable: The signature cannot be checked now.
        """
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder, "signed")
            text = Path(folder, "text")
            file.write_bytes(signed)
            self._check("--output", str(text), str(file))
            try:
                return text.read_bytes()
            except OSError as error:
                raise Untrusted("the signed file has no text", hint=_HINT) from error

    def verify(self, data: bytes, signature: bytes) -> None:
        """Check a signature that lies beside its file (``Release.gpg``).

        Raises:
            Untrusted: Nobody of the keyring made it for these bytes.
            Unavailable: It cannot be checked now.
        """
        with tempfile.TemporaryDirectory() as folder:
            file, beside = Path(folder, "data"), Path(folder, "signature")
            file.write_bytes(data)
            beside.write_bytes(signature)
            self._check(str(beside), str(file))

    def _check(self, *arguments: str) -> None:
        command = [_GPGV, "--status-fd", "1", *self._arguments, *arguments]
        try:
            done = subprocess.run(  # noqa: S603 - a fixed program, no shell, paths of our own
                command, capture_output=True, timeout=_TIMEOUT_S, check=False
            )
        except FileNotFoundError as error:
            raise Unavailable("gpgv is not installed", hint="apt install gpgv") from error
        except (OSError, subprocess.TimeoutExpired) as error:
            raise Unavailable(f"a signature could not be checked: {error}") from error
        lines = done.stdout.decode("utf-8", "replace").splitlines()
        said = [line.removeprefix(_STATUS).split() for line in lines if line.startswith(_STATUS)]
        _judge([words for words in said if words])


def _judge(said: Sequence[Sequence[str]]) -> None:
    """One good signature by a strong hash, and no bad one: the rule of apt."""
    bad = [words for words in said if words[0] == "BADSIG"]
    # VALIDSIG: fingerprint, date, time, expiry, version, reserved, algorithm, hash, class, primary
    good = [words for words in said if words[0] == "VALIDSIG" and len(words) > _HASH]
    strong = [words for words in good if words[_HASH] not in _WEAK_HASHES]
    if strong and not bad:
        return
    if bad:
        raise Untrusted("the signature does not belong to these bytes", hint=_HINT)
    if good:
        raise Untrusted("the signature is by a hash that can be forged", hint=_HINT)
    keys = sorted({words[1] for words in said if words[0] in ("NO_PUBKEY", "ERRSIG", "EXPKEYSIG")})
    why = f"it is signed by {', '.join(keys)}" if keys else "it is not signed"
    raise Untrusted(f"no key of the channel has signed it: {why}", hint=_HINT)


_HASH: Final = 8
