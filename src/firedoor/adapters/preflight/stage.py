"""The files of a release in a directory of their own, for a sandbox to be shown."""

import os
import shutil
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from firedoor.core.errors import Unavailable


@contextmanager
def staged(below: Path, files: Iterable[tuple[str, Path]]) -> Iterator[Path]:
    """A directory with these files, each a second name of the bytes that are held.

    Files that are not held are left out, and so is a second one of the same path. Anybody on this
    host who may enter ``below`` may read them; a sandbox is shown the directory read-only, so that
    the bytes stay what they are.

    Args:
        below: On the file system of the blobs, or they are copied; made if it is not there.
        files: Relative path -> bytes.

    Raises:
        Unavailable: It cannot be made.
    """
    try:
        below.mkdir(mode=0o700, exist_ok=True)
        root = Path(tempfile.mkdtemp(dir=below))
    except OSError as error:
        raise Unavailable(f"no directory for a preflight: {error.strerror}") from error
    try:
        root.chmod(0o755)
        try:
            for name, blob in files:
                _put(root, name, blob)
        except OSError as error:
            raise Unavailable(f"no files for a preflight: {error.strerror}") from error
        yield root
    finally:
        shutil.rmtree(root, ignore_errors=True)


def cleared(below: Path) -> None:
    """Delete what a judge left that was killed."""
    shutil.rmtree(below, ignore_errors=True)


def _put(root: Path, name: str, blob: Path) -> None:
    place = root
    for folder in name.split("/")[:-1]:
        place /= folder
        if not place.is_dir():
            place.mkdir()
            # Whatever the umask is: the sandbox is another user.
            place.chmod(0o755)
    target = root / name
    try:
        os.link(blob, target)
    except (FileNotFoundError, FileExistsError):
        return  # Writing over what is there would write into a blob.
    except OSError:
        # Another file system, or more names than it allows.
        with blob.open("rb") as source, target.open("xb") as copy:
            shutil.copyfileobj(source, copy)
        target.chmod(0o644)
