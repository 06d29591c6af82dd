"""Everything that is asked of one release: the tool of its kind, and the operator's command."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Final

from firedoor.adapters.preflight import clamav, command, suricata
from firedoor.adapters.preflight.look import NEW, OLD, Look, unchecked
from firedoor.adapters.preflight.packages import look_at_debs, look_at_rpms
from firedoor.adapters.preflight.sandbox import Limits, Sandbox, installed
from firedoor.adapters.preflight.stage import staged
from firedoor.config import ChannelConfig
from firedoor.core.channel import Kind
from firedoor.core.errors import Unavailable
from firedoor.core.release import Manifest, changes
from firedoor.formats.clamav import is_database
from firedoor.ports import BlobStore, Clock
from firedoor.services.preflight import Check, Job

_Looker = Callable[[ChannelConfig, Look], Check]

_TOOLS: Final[Mapping[Kind, _Looker]] = MappingProxyType(
    {
        Kind.APT: lambda _, given: look_at_debs(given),
        Kind.RPM: lambda _, given: look_at_rpms(given),
        Kind.CLAMAV: lambda _, given: clamav.look(given),
        Kind.SURICATA: lambda channel, given: suricata.look(given, channel.feeds),
    }
)
_PROGRAMS: Final[Mapping[Kind, Sequence[str]]] = MappingProxyType(
    {
        Kind.APT: ("dpkg-deb",),
        Kind.RPM: ("rpmkeys",),
        Kind.CLAMAV: ("clamscan",),
        Kind.SURICATA: ("suricata", "suricata-update"),
    }
)
# Of /etc/clamav no more: it holds freshclam's credentials.
_SEEN: Final[Mapping[Kind, Sequence[str]]] = MappingProxyType(
    {Kind.CLAMAV: ("/etc/clamav/certs",), Kind.SURICATA: (suricata.CONFIGURATION,)}
)
_PACKAGES: Final = frozenset({Kind.APT, Kind.RPM})


@dataclass(frozen=True, slots=True)
class Means:
    """What every examination uses.

    Attributes:
        blobs: Where the bytes are.
        clock: For the time limit.
        below: Directory for the views of releases, on the same file system.
        limits: How much one release may cost.
        clean: Files and directories of this host that are known to be good.
    """

    blobs: BlobStore
    clock: Clock
    below: Path
    limits: Limits
    clean: tuple[str, ...] = ()


def examine(job: Job, means: Means) -> list[Check]:
    """Ask the tool of the channel's kind and the operator's command; at least one answers."""
    try:
        return list(_examined(job, means))
    except Unavailable as error:
        return [unchecked(str(error))]


def _examined(job: Job, means: Means) -> Iterator[Check]:
    channel = job.channel
    changed = [path for path, _, file in changes(job.old, job.new) if file is not None]
    lone = channel.kind in _PACKAGES and channel.preflight_command is None
    new = {path: job.new[path] for path in changed} if lone else job.new
    with (
        staged(means.below, _places(channel, new, means.blobs)) as release,
        staged(means.below, _places(channel, {} if lone else job.old, means.blobs)) as previous,
    ):
        clean = tuple(path for path in means.clean if Path(path).exists())
        sandbox = Sandbox(
            means.limits,
            means.clock,
            {NEW: release, OLD: previous},
            visible=(*clean, *_needed(channel)),
            environment={"FIREDOOR_CHANNEL": channel.name},
        )
        held = [path for path in changed if (release / path).exists()]
        given = Look(sandbox, held, not job.old, clean)
        if channel.kind in _TOOLS:
            yield _TOOLS[channel.kind](channel, given)
        if channel.preflight_command is not None:
            yield command.look(given, channel.preflight_command)


def lacking(channel: ChannelConfig) -> list[str]:
    """Programs that a preflight of this channel needs and that are not installed here."""
    if not channel.is_preflighted:
        return []
    own = () if channel.preflight_command is None else (channel.preflight_command[0],)
    wanted = ("bwrap", *_PROGRAMS.get(channel.kind, ()), *own)
    return [program for program in wanted if not installed(program)]


def _needed(channel: ChannelConfig) -> Iterator[str]:
    """Paths of the host that the tools need, besides programs."""
    yield from _SEEN.get(channel.kind, ())
    if channel.preflight_command is not None:
        yield "/opt"
        program = channel.preflight_command[0]
        # A name is looked up in the directories of the system, which are there.
        if program.startswith("/"):
            yield program


def _places(
    channel: ChannelConfig, manifest: Manifest, blobs: BlobStore
) -> Iterator[tuple[str, Path]]:
    """Files as a client has them: those of ClamAV lie side by side."""
    for path, file in manifest.items():
        place = Path(blobs.path(file.sha256))
        if channel.kind is not Kind.CLAMAV:
            yield path, place
        elif is_database(path):
            yield path.rpartition("/")[2], place
