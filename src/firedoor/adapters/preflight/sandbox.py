"""A sandbox for programs that read what a vendor sends: bubblewrap, and the limits of the kernel.

What runs in it has no network, no process of the host and no privilege; of the file system it sees
the programs of the host and the release, both read-only, and a scratch directory in memory. Where
the judge is root it runs as ``nobody``; elsewhere as the judge's user in a user namespace, with
nothing in sight that this user may write to. It ends with everything that it started, at a time
limit, or with the judge.

bubblewrap makes the namespaces, as it does for Flatpak. ``prlimit`` and ``setpriv`` are of
util-linux, which every Linux has.
"""

import os
import selectors
import shutil
import signal
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Final

from firedoor.core.errors import Unavailable
from firedoor.ports import Clock

SCRATCH: Final = "/tmp"  # noqa: S108 - the sandbox's own, in memory
"""The one directory that a sandboxed program may write to."""

_PATH: Final = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_NOBODY: Final = "65534"
_SHELL: Final = 128
_MOST_PROCESSES: Final = 512
_HEAD: Final = 64 << 10
_TAIL: Final = 64 << 10
_READ: Final = 64 << 10
_PROBE_MS: Final = 20_000
_NO_MEMORY: Final = (
    "annot allocate memory",
    "an't allocate memory",
    "out of memory",
    "emory exhausted",
    "MemoryError",
    "bad_alloc",
)
_LINKS: Final = ("/bin", "/sbin", "/lib", "/lib64", "/lib32", "/libx32")
# Nothing of /etc that may hold a secret of the host.
_ETC: Final = (
    "/etc/alternatives",
    "/etc/group",
    "/etc/ld.so.cache",
    "/etc/ld.so.conf",
    "/etc/ld.so.conf.d",
    "/etc/localtime",
    "/etc/nsswitch.conf",
    "/etc/passwd",
)


@dataclass(frozen=True, slots=True)
class Limits:
    """How much one release may cost.

    Attributes:
        time_ms: Wall time for all its programs together, and processor time of each process, > 0.
        memory_bytes: Address space of each process, > 0; a quarter of it is the scratch directory.
    """

    time_ms: int
    memory_bytes: int


@dataclass(frozen=True, slots=True)
class Ran:
    """How a program ended.

    Attributes:
        code: Its exit status; 128 and the signal where one ended it.
        output: What it wrote, both streams: the beginning and the end where it was much.
        stopped: The limit at which it was ended, in words; "" where it ended by itself.
    """

    code: int
    output: str
    stopped: str = ""

    def last(self, lines: int = 2) -> str:
        """The last lines it wrote, for people, on one line."""
        said = [line.strip() for line in self.output.splitlines() if line.strip()]
        return ", ".join(said[-lines:]) or "it said nothing"


class Sandbox:
    """Runs programs that see the same directories, one after the other, within common limits.

    Args:
        limits: What all of them together may take.
        clock: For the time limit, which begins now.
        views: Path in the sandbox -> directory of the host, read-only.
        visible: More paths of the host that are there under their own names, read-only, as far
            as they exist.
        environment: Variables besides ``PATH``, ``HOME`` and the locale.
    """

    def __init__(
        self,
        limits: Limits,
        clock: Clock,
        views: Mapping[str, Path],
        *,
        visible: Sequence[str] = (),
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self._limits = limits
        self._clock = clock
        self._until_ms = clock.monotonic_ms() + limits.time_ms
        self._views = views
        self._visible = visible
        self._environment = environment or {}
        self._probed = False

    def run(self, command: Sequence[str], *, within: str = SCRATCH) -> Ran:
        """Run a program to its end, or to a limit.

        Args:
            command: Program and arguments.
            within: Where it starts.

        Raises:
            Unavailable: There is no bubblewrap, or it can make no sandbox here. Nothing has run.
        """
        if not self._probed:
            self._probe()
            self._probed = True
        return self._run(command, within, self._until_ms)

    def _probe(self) -> None:
        if shutil.which("bwrap", path=_PATH) is None:
            raise Unavailable(
                "bubblewrap is not installed: apt-get install bubblewrap",
                hint="preflight runs a vendor's tools in a sandbox, or not at all",
            )
        found = self._run(("true",), SCRATCH, self._clock.monotonic_ms() + _PROBE_MS)
        if found.code:
            raise Unavailable(
                f"no sandbox can be made: {found.stopped or found.last()}",
                hint="let the judge make namespaces: kernel.unprivileged_userns_clone, "
                "user.max_user_namespaces, AppArmor, or the rights of its container",
            )

    def _run(self, command: Sequence[str], within: str, until_ms: int) -> Ran:
        words = [*self._made(within), "--", *self._limited(), *command]
        # A session of its own: the whole group is ended, and no terminal is in reach.
        with subprocess.Popen(  # noqa: S603 - no shell
            words,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            env={"PATH": _PATH},
        ) as process:
            assert process.stdout is not None  # noqa: S101 - it was asked for
            try:
                said, in_time = self._listen(process.stdout, until_ms)
                in_time = in_time and self._ended(process, until_ms)
            finally:
                _end(process)
        code = process.returncode
        output = said.decode("utf-8", "replace")
        if not in_time:
            return Ran(code, output, f"its time limit of {_seconds(self._limits.time_ms)}")
        return Ran(code if code >= 0 else _SHELL - code, output, self._stopped(code, output))

    def _listen(self, pipe: IO[bytes], until_ms: int) -> tuple[bytes, bool]:
        """What is written until everybody has closed the pipe, and whether that came in time."""
        head, tail, left_out = b"", b"", False
        with selectors.DefaultSelector() as selector:
            selector.register(pipe, selectors.EVENT_READ)
            while True:
                wait = (until_ms - self._clock.monotonic_ms()) / 1000
                if wait <= 0:
                    break
                if not selector.select(wait):
                    continue
                chunk = os.read(pipe.fileno(), _READ)
                if not chunk:
                    return _joined(head, tail, left_out=left_out), True
                room = max(0, _HEAD - len(head))
                head, rest = head + chunk[:room], tail + chunk[room:]
                left_out = left_out or len(rest) > _TAIL
                tail = rest[-_TAIL:]
        return _joined(head, tail, left_out=left_out), False

    def _ended(self, process: "subprocess.Popen[bytes]", until_ms: int) -> bool:
        """Whether it ends by itself in time: it may have closed the pipe long before."""
        try:
            process.wait(max(0.0, (until_ms - self._clock.monotonic_ms()) / 1000))
        except subprocess.TimeoutExpired:
            return False
        return True

    def _stopped(self, code: int, output: str) -> str:
        if code == _SHELL + signal.SIGXCPU:
            return f"its limit of {_seconds(self._limits.time_ms)} of processor time"
        if code and any(each in output for each in _NO_MEMORY):
            return f"its memory limit of {self._limits.memory_bytes >> 20} MiB"
        return ""

    def _made(self, within: str) -> list[str]:
        """The sandbox itself."""
        root = os.geteuid() == 0
        words = ["bwrap", "--unshare-net", "--unshare-pid", "--unshare-ipc", "--unshare-uts"]
        words += ["--die-with-parent", "--new-session", "--clearenv"]
        words += ["--cap-drop", "ALL"]
        # What root takes with it is used up by setpriv, before the program begins.
        words += ["--cap-add", "CAP_SETUID", "--cap-add", "CAP_SETGID"] if root else [
            "--unshare-user", "--uid", _NOBODY, "--gid", _NOBODY,
        ]  # fmt: skip
        environment = {"PATH": _PATH, "HOME": SCRATCH, "LC_ALL": "C.UTF-8", **self._environment}
        for name, value in environment.items():
            words += ["--setenv", name, value]
        words += ["--perms", "0755", "--dir", "/etc", "--ro-bind", "/usr", "/usr"]
        for link in map(Path, _LINKS):
            if link.is_symlink():
                words += ["--symlink", str(link.readlink()), str(link)]
            elif link.is_dir():
                words += ["--ro-bind", str(link), str(link)]
        words += ["--proc", "/proc", "--dev", "/dev"]
        scratch = str(self._limits.memory_bytes // 4)
        words += ["--perms", "1777", "--size", scratch, "--tmpfs", SCRATCH]
        for folder in _above(self._visible):
            words += ["--perms", "0755", "--dir", folder]
        for path in (*_ETC, *self._visible):
            words += ["--ro-bind-try", path, path]
        for path, view in self._views.items():
            words += ["--ro-bind", str(view), path]
        return [*words, "--remount-ro", "/", "--chdir", within]

    def _limited(self) -> list[str]:
        """What the kernel enforces on every process in it."""
        seconds = max(1, self._limits.time_ms // 1000)
        words = ["nice", "-n", "10", "prlimit", f"--as={self._limits.memory_bytes}"]
        # Between the two limits a process is told; at the second one it is killed.
        words += [f"--cpu={seconds}:{seconds + 1}", "--core=0", f"--nproc={_MOST_PROCESSES}"]
        if os.geteuid() == 0:
            words += ["setpriv", f"--reuid={_NOBODY}", f"--regid={_NOBODY}", "--clear-groups"]
            words += ["--inh-caps=-all", "--no-new-privs"]
        return words


def installed(program: str) -> bool:
    """Say whether a program is there for the sandbox to run."""
    return shutil.which(program, path=_PATH) is not None


def _above(paths: Sequence[str]) -> list[str]:
    """Directories that have to be made for these, each before what is in it.

    bubblewrap makes them too, but for root alone.
    """
    above = {str(folder) for path in paths for folder in Path(path).parents}
    return sorted(each for each in above if each != "/" and not f"{each}/".startswith("/usr/"))


def _joined(head: bytes, tail: bytes, *, left_out: bool) -> bytes:
    return head + (b"\n[..]\n" if left_out else b"") + tail


def _end(process: "subprocess.Popen[bytes]") -> None:
    """End the sandbox with all that is in it: they share a process namespace, and die with it."""
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _seconds(time_ms: int) -> str:
    return f"{time_ms / 1000:g} s"
