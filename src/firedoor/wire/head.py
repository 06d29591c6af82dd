"""The ledger's last head, kept apart from the ledger itself."""

import contextlib
import os
from pathlib import Path

import msgspec

from firedoor.core.errors import BadConfig, Unavailable
from firedoor.core.ledger.chain import Head


def read_head(path: Path) -> Head | None:
    """The head that was kept last, or None before the first.

    Raises:
        BadConfig: The file is not a head.
        Unavailable: It cannot be read now.
    """
    try:
        return msgspec.json.decode(path.read_bytes(), type=Head)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise Unavailable(f"cannot read {path.name}: {error.strerror}") from error
    except (msgspec.DecodeError, ValueError) as error:
        raise BadConfig(
            f"{path.name} is not a ledger head: {error}",
            hint="move it away if the ledger verifies with `firedoor ledger verify`",
        ) from error


def keep_head(path: Path, head: Head) -> None:
    """Keep a head: durable and atomic.

    Raises:
        Unavailable: It could not be written; the one before stays.
    """
    aside = path.with_suffix(".new")
    try:
        with aside.open("wb") as file:
            file.write(msgspec.json.encode(head))
            file.flush()
            os.fsync(file.fileno())
        aside.replace(path)
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
    except OSError as error:
        with contextlib.suppress(OSError):
            aside.unlink()
        raise Unavailable(f"cannot keep {path.name}: {error.strerror}") from error


def set_aside(path: Path) -> None:
    """Keep a head that the ledger no longer reaches, beside those set aside before it.

    Each is a proof that entries existed which nobody has any more; none is ever overwritten.

    Raises:
        Unavailable: It could not be moved; it stays where it is.
    """
    lost = path.with_suffix(".lost")
    number = 2
    while lost.exists():
        lost = path.with_suffix(f".lost.{number}")
        number += 1
    try:
        path.replace(lost)
    except OSError as error:
        raise Unavailable(f"cannot set {path.name} aside: {error.strerror}") from error
