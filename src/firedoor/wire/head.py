"""The ledger's last head, kept apart from the ledger itself."""

import os
from pathlib import Path

import msgspec

from firedoor.core.errors import BadConfig
from firedoor.core.ledger.chain import Head


def read_head(path: Path) -> Head | None:
    """The head that was kept last, or None before the first.

    Raises:
        BadConfig: The file is not a head.
    """
    try:
        return msgspec.json.decode(path.read_bytes(), type=Head)
    except FileNotFoundError:
        return None
    except (msgspec.DecodeError, ValueError) as error:
        raise BadConfig(
            f"{path.name} is not a ledger head: {error}",
            hint="move it away if the ledger verifies with `firedoor ledger verify`",
        ) from error


def keep_head(path: Path, head: Head) -> None:
    """Keep a head: durable and atomic."""
    aside = path.with_suffix(".new")
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
