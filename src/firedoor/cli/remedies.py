"""``firedoor release remedy``: what neutralises a release where it has been installed."""

from collections.abc import Iterator
from pathlib import Path

import msgspec

from firedoor.adapters.blobs.disk import DiskBlobs
from firedoor.adapters.store.judge import JudgeReader
from firedoor.adapters.upstream.unpacked import names_of
from firedoor.cli import output
from firedoor.cli.context import Place, ReleaseArgument, here, release_of
from firedoor.cli.options import ConfigOption, DataOption, JsonOption
from firedoor.console.model import ReleaseView
from firedoor.core.channel import Verb
from firedoor.core.errors import NotFound
from firedoor.core.release import FileEntry, changes


class Remedy(msgspec.Struct, frozen=True):
    """What ``release remedy --json`` prints: signatures that a release has brought.

    Attributes:
        release: Its id.
        previous: Id of the release before, "" for a channel's first.
        signatures: Their names by database, each as a line of an ``.ign2`` file.
    """

    release: str
    previous: str
    signatures: dict[str, tuple[str, ...]]


def remedy(
    *,
    release: ReleaseArgument,
    config: ConfigOption = None,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """List the signatures that a release of ClamAV databases has brought, one a line.

    A false positive need not take the whole release back: put its name on a line of an .ign2
    file that your machines read, and the rest goes on working.

    Example: firedoor release remedy 2cb81f3d
    """
    place = here(config, data)
    view = release_of(place.views(), release)
    if place.config.channel(view.channel).clamav is None:
        raise NotFound(
            f"a release of {view.channel} has no signatures to ignore",
            hint=f"firedoor channel show {view.channel} says how its clients are undone",
        )
    with place.judge() as judge:
        found = Remedy(view.id, view.previous, _brought(place, judge, view))
    if as_json:
        output.document(found)
        return
    names = [name for some in found.signatures.values() for name in some]
    for name in names:
        output.line(name)
    output.say(f"{len(names)} names of signatures that {output.short(view.id)} has brought")
    output.say("put the one that does harm on a line of an .ign2 file that your machines read")


def advise(place: Place, view: ReleaseView) -> None:
    """Say what can be done for machines that have a release which was shut."""
    for channel in place.config.channels:
        if channel.name == view.channel:
            ways = [way for way in channel.traits.undo if way.verb is not Verb.CONTAIN]
            output.heading("for machines that have it")
            output.table(("verb", "how"), [(way.verb.value, way.how) for way in ways])


def _brought(place: Place, judge: JudgeReader, view: ReleaseView) -> dict[str, tuple[str, ...]]:
    blobs = DiskBlobs(place.files.blobs)

    def names(path: str, file: FileEntry) -> Iterator[str]:
        return names_of(path, Path(blobs.path(file.sha256)))

    brought = {}
    before = judge.manifest(view.previous) if view.previous else {}
    for path, old, new in changes(before, judge.manifest(view.id)):
        if new is None:
            continue
        known = frozenset() if old is None else frozenset(names(path, old))
        fresh = dict.fromkeys(name for name in names(path, new) if name not in known)
        if fresh:
            brought[path] = tuple(fresh)
    return brought
