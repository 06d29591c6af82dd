"""A vendor of ClamAV databases as an upstream: the official ones, or anybody's own.

What freshclam gets as ``DatabaseCustomURL`` it takes without asking for a version, and what is not
a ``.cvd`` without any signature. So a mirror that lies or lags is found out here, or nowhere.
"""

import hashlib
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Final, Protocol

import structlog

from firedoor.adapters.upstream import index
from firedoor.adapters.upstream.index import Limits
from firedoor.core.errors import BadInput, Unavailable, Untrusted
from firedoor.core.release import Manifest
from firedoor.formats.clamav import HEADER_BYTES, Header, is_database, is_signed, parse_header
from firedoor.ports import BlobStore, Fetched, Listed, Upstream

_CHUNK: Final = 1 << 20
_SIGTOOL: Final = "sigtool"
_TIMEOUT_S: Final = 300.0
_CPU_S: Final = 120
_MEMORY_KIB: Final = 2 << 20
_BYTES_WRITTEN_BLOCKS: Final = 0
_LIMITED: Final = 'ulimit -t "$1" && ulimit -v "$2" && ulimit -f "$3" && shift 3 && exec "$@"'
_GOOD: Final = "Verification OK"
_NOT_FOUND: Final = 127
_CHECK_MIRROR: Final = "no client would take it; ask the vendor, or choose another mirror"
_log = structlog.get_logger()


class Verifier(Protocol):
    """Checks the vendor's signature."""

    def verify(self, name: str, file: Path) -> None:
        """Check a ``.cvd``. Raises Untrusted, or Unavailable if that cannot be told now."""
        ...


class Sigtool:
    """The vendor's own tool, in a process that may use little and write nothing."""

    def __init__(self, program: str = _SIGTOOL) -> None:
        """Use a program: its name, or where it lies."""
        self._program = program

    def verify(self, name: str, file: Path) -> None:
        """Check the vendor's signature of a ``.cvd``.

        Where the tool is not installed nothing is checked, and the log says so: clients check the
        same signature when they get the file.

        Args:
            name: What the file is called upstream: its suffix tells the tool what it is.
            file: Its bytes.

        Raises:
            Untrusted: The signature is not the vendor's, or not of these bytes.
            Unavailable: The tool did not come to an end.
        """
        with tempfile.TemporaryDirectory() as folder:
            named = Path(folder, f"database{Path(name).suffix.lower()}")
            named.symlink_to(file.absolute())
            done = self._run(folder, named)
        if done is None:
            _log.warning("signature_not_checked", file=name, hint="apt install clamav")
        elif done.returncode < 0:
            raise Unavailable(f"{self._program} was ended while it checked {name}")
        elif done.returncode or _GOOD not in done.stdout.decode("utf-8", "replace"):
            said = (done.stderr or done.stdout).decode("utf-8", "replace").strip().splitlines()
            raise Untrusted(
                f"the vendor has not signed {name}: {said[-1] if said else 'no answer'}",
                hint=_CHECK_MIRROR,
            )

    def _run(self, folder: str, file: Path) -> "subprocess.CompletedProcess[bytes] | None":
        limits = (str(_CPU_S), str(_MEMORY_KIB), str(_BYTES_WRITTEN_BLOCKS))
        command = ["/bin/sh", "-c", _LIMITED, "sh", *limits, self._program, "--info", str(file)]
        try:
            done = subprocess.run(  # noqa: S603 - a fixed program, no shell text of others
                command,
                capture_output=True,
                timeout=_TIMEOUT_S,
                check=False,
                cwd=folder,
                env={"PATH": "/usr/bin:/bin:/usr/local/bin", "LC_ALL": "C"},
                stdin=subprocess.DEVNULL,
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            raise Unavailable(f"{self._program} could not check {file.name}: {error}") from error
        return None if done.returncode == _NOT_FOUND else done


class ClamavUpstream:
    """Databases of ClamAV. For one thread at a time.

    Args:
        source: The server or directory that has them.
        verifier: Checks the vendor's signatures.
        blobs: Where files are kept; signed ones are read again to be checked.
        names: Paths of the databases; empty for all that ``source`` lists.
        listed: ``source`` knows what files it has. Otherwise the names are all there is to know.
        previous: Files of the last snapshot: no signed database goes back behind it.
        limits: How much is believed to be one channel's content.
    """

    def __init__(
        self,
        source: Upstream,
        verifier: Verifier,
        blobs: BlobStore,
        *,
        names: Sequence[str] = (),
        listed: bool = True,
        previous: Manifest = MappingProxyType({}),
        limits: Limits | None = None,
    ) -> None:
        self._source = source
        self._verifier = verifier
        self._blobs = blobs
        self._names = tuple(sorted(set(names)))
        self._listed = listed
        self._previous = previous
        self._limits = limits or Limits()

    def index(self) -> tuple[Listed, ...]:
        """List the databases now, sorted by path.

        Raises:
            Unavailable: Upstream does not answer, or has not all that are wanted.
            Untrusted: Its list makes no sense, or exceeds the limits.
        """
        if not self._listed:
            files = [Listed(name, None, None) for name in self._names]
            return index.in_order("the databases", files, self._limits)
        there = {listed.path: listed for listed in self._source.index()}
        names = self._names or sorted(path for path in there if is_database(path))
        absent = [name for name in names if name not in there]
        if absent or not names:
            raise Unavailable(
                f"upstream has no {absent[0]}" if absent else "upstream has no ClamAV databases",
                hint="look at what is there, and name it in databases = [..]",
            )
        return tuple(there[name] for name in names)

    def fetch(self, listed: Listed, known: Fetched | None, into: BlobStore) -> Fetched:
        """Bring one file's bytes into ``into``; check one that the vendor has to have signed.

        Raises:
            Unavailable: It cannot be had, or not be checked now.
            Untrusted: It is empty, damaged, not the vendor's, or older than what was there.
            UpstreamMoved: It changed while it was read.
        """
        fetched = self._source.fetch(listed, known, into)
        path, digest = listed.path, fetched.entry.sha256
        if known is not None and known.entry.sha256 == digest:
            return fetched
        if not fetched.entry.size:
            raise Untrusted(
                f"{path} is empty", hint="freshclam stops at an empty file and fetches no others"
            )
        before = self._previous.get(path)
        if is_signed(path) and (before is None or before.sha256 != digest):
            self._expect_signed(path, Path(into.path(digest)))
        return fetched

    def _expect_signed(self, path: str, file: Path) -> None:
        try:
            header = _header_of(file)
        except BadInput as error:
            raise Untrusted(f"{path} is no database: {error}", hint=_CHECK_MIRROR) from error
        before = self._version_before(path)
        if before is not None and header.version < before:
            raise Untrusted(
                f"{path} went back from version {before} to {header.version}",
                hint="a mirror lags, or somebody serves an old copy; wait, or choose another",
            )
        if _md5_of_rest(file) != header.md5:
            raise Untrusted(f"{path} is damaged: its MD5 is not what it says", hint=_CHECK_MIRROR)
        self._verifier.verify(path, file)

    def _version_before(self, path: str) -> int | None:
        """Version in the last snapshot, as far as it can still be read."""
        file = self._previous.get(path)
        try:
            return None if file is None else _header_of(Path(self._blobs.path(file.sha256))).version
        except (BadInput, Unavailable):
            return None


def _header_of(file: Path) -> Header:
    try:
        with file.open("rb") as opened:
            return parse_header(opened.read(HEADER_BYTES))
    except OSError as error:
        raise Unavailable(f"a database cannot be read: {error.strerror}") from error


def _md5_of_rest(file: Path) -> str:
    digest = hashlib.md5(usedforsecurity=False)
    try:
        with file.open("rb") as opened:
            opened.seek(HEADER_BYTES)
            while chunk := opened.read(_CHUNK):
                digest.update(chunk)
    except OSError as error:
        raise Unavailable(f"a database cannot be read: {error.strerror}") from error
    return digest.hexdigest()
