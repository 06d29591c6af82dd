"""OpenPGP: signatures of vendors, checked by ``gpgv``, and our own, made by ``gpg``.

What is returned is what the signature covers, and nothing that stands around it in the file: a
reader of the whole file could be shown lines that nobody signed.

Source: gpg, doc/DETAILS (status lines).
"""

import stat
import subprocess
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

from firedoor.core.errors import BadConfig, Unavailable, Untrusted

_GPGV: Final = "gpgv"
_GPG: Final = "gpg"
_GPGCONF: Final = "gpgconf"
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


class SigningKey:
    """The operator's own OpenPGP key, by which clients know what this gate has signed.

    Args:
        file: The secret key without a passphrase, as ``gpg --export-secret-keys`` writes it; only
            its owner may read it.

    Raises:
        BadConfig: It cannot be read, or others may read it.
    """

    def __init__(self, file: Path) -> None:
        try:
            shared = file.stat().st_mode & (stat.S_IRWXG | stat.S_IRWXO)
            self._secret = file.read_bytes()
        except OSError as error:
            raise BadConfig(f"the key {file} cannot be read: {error.strerror}") from error
        if shared:
            raise BadConfig(f"others may read the key {file}", hint=f"chmod 600 {file}")
        self._file = file

    def signed(self, text: bytes) -> bytes:
        """The text with its signature around it (``InRelease``).

        Raises:
            Unavailable: It cannot be signed now.
        """
        return self._run("--clearsign", "--digest-algo", "SHA512", data=text)

    def public(self) -> bytes:
        """The public half, binary: what clients and gpgv read.

        Raises:
            Unavailable: The key cannot be used.
        """
        return self._run("--export")

    def _run(self, *arguments: str, data: bytes = b"") -> bytes:
        with tempfile.TemporaryDirectory() as home:
            try:
                self._gpg(home, "--import", data=self._secret)
                words = ("--pinentry-mode", "loopback", "--passphrase", "", *arguments)
                return self._gpg(home, *words, data=data)
            finally:
                # gpg starts an agent that would outlive the folder.
                with suppress(OSError, subprocess.TimeoutExpired):
                    subprocess.run(  # noqa: S603 - a fixed program, no shell
                        [_GPGCONF, "--homedir", home, "--kill", "all"],
                        capture_output=True,
                        timeout=_TIMEOUT_S,
                        check=False,
                    )

    def _gpg(self, home: str, *arguments: str, data: bytes) -> bytes:
        command = [_GPG, "--homedir", home, "--batch", "--quiet", "--no-tty", *arguments]
        try:
            done = subprocess.run(  # noqa: S603 - a fixed program, no shell
                command, input=data, capture_output=True, timeout=_TIMEOUT_S, check=False
            )
        except FileNotFoundError as error:
            raise Unavailable("gpg is not installed", hint="apt install gnupg") from error
        except subprocess.TimeoutExpired as error:
            raise Unavailable("gpg does not come to an end") from error
        if done.returncode:
            why = done.stderr.decode("utf-8", "replace").strip().splitlines()
            raise Unavailable(
                f"gpg cannot use {self._file}: {why[-1] if why else done.returncode}",
                hint="export the key without a passphrase: gpg --export-secret-keys",
            )
        return done.stdout
