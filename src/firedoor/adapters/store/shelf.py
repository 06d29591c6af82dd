"""Manifests that lie on the disk, not in memory: a distribution's has some seven megabytes.

A gate may serve dozens of them: of releases that have gone from the board and whose names machines
still ask for, a few each. So these are read where they lie, piece by piece.
"""

import os
import tempfile
import weakref
from pathlib import Path
from typing import Final

import structlog

from firedoor.core.packed import Packed, Table
from firedoor.core.release import Manifest

LARGE_BYTES: Final = 1 << 18
"""A smaller manifest stays in memory: a descriptor is not worth less."""

_log = structlog.get_logger()


def shelved(manifest: Manifest, directory: Path) -> Manifest:
    """A manifest that says the same; a large packed one is read from a file without a name.

    Where the file cannot be written, as on a full disk, the manifest stays as it is.

    Args:
        manifest: Any.
        directory: On the disk that is to hold it; the file goes with its last reader.
    """
    if not isinstance(manifest, Packed) or len(manifest.data) < LARGE_BYTES:
        return manifest
    if isinstance(manifest.data, _OnDisk):
        return manifest
    try:
        return Packed(_OnDisk(manifest.data[:], directory))
    except OSError as error:
        _log.warning("manifest_kept_in_memory", error=str(error))
        return manifest


class _OnDisk(Table):
    """Bytes in a file; a slice is read when it is asked for."""

    def __init__(self, data: bytes, directory: Path) -> None:
        self._length = len(data)
        with tempfile.TemporaryFile(dir=directory) as file:
            file.write(data)
            file.flush()
            # It closes with this object, and having no name it leaves nothing behind.
            self._file = os.dup(file.fileno())
        weakref.finalize(self, os.close, self._file)

    def __len__(self) -> int:
        return self._length

    def __getitem__(self, part: slice) -> bytes:
        start, stop, _ = part.indices(self._length)
        return os.pread(self._file, max(0, stop - start), start)
