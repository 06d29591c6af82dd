"""The signatures of a ClamAV database as it lies in the store: plain, or packed and signed."""

import tarfile
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path

from firedoor.core.errors import Unavailable, Untrusted
from firedoor.formats.clamav import HEADER_BYTES, is_signed, signature_names


def names_of(path: str, file: Path) -> Iterator[str]:
    """Names of the signatures in a database, as an ``.ign2`` file wants them.

    A signed one holds several; what is in them is read member by member, never written.

    Args:
        path: What the database is called: its suffix says what it is.
        file: Its bytes.

    Raises:
        Unavailable: They cannot be read.
        Untrusted: They make no sense.
    """
    try:
        with file.open("rb") as opened:
            if not is_signed(path):
                yield from signature_names(path, opened)
                return
            opened.seek(HEADER_BYTES)
            with tarfile.open(fileobj=opened, mode="r|*") as archive:
                for member in archive:
                    lines: Iterable[bytes] | None = archive.extractfile(member)
                    if lines is not None:
                        yield from signature_names(member.name, lines)
    except (tarfile.TarError, EOFError, zlib.error) as error:
        raise Untrusted(f"{path} cannot be unpacked: {error}") from error
    except OSError as error:
        raise Unavailable(f"the bytes of {path} cannot be read: {error.strerror}") from error
