"""``firedoor channel import``: what a mirror on this host has already need not be fetched."""

import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Annotated, Final

import msgspec
import typer

from firedoor.adapters.blobs.disk import DiskBlobs, Way
from firedoor.adapters.blobs.layout import sizes_on_disk
from firedoor.adapters.clock import SystemClock
from firedoor.cli import output
from firedoor.cli.context import Place, here
from firedoor.cli.keeping import gate_of
from firedoor.cli.options import ConfigOption, DataOption, JsonOption
from firedoor.core.errors import BadInput, Unavailable
from firedoor.ports import Listed
from firedoor.services.room import Limits, spelled
from firedoor.wire.housekeeping import kept_releases
from firedoor.wire.importing import Imported, Importer, expect_owner

_NAMED: Final = 10
_EVERY: Final = 500


class ImportReply(msgspec.Struct, frozen=True):
    """What ``channel import --json`` prints.

    Attributes:
        index: Whose index was believed: ``directory`` or ``upstream``.
        why: Why it was not the directory's, or "".
        files: Number of files by how they were taken: held, cloned, linked, copied.
        bytes: The same in bytes.
        absent: Files that the index names and the directory does not have.
        wrong: Files with other bytes than promised; they were not taken.
    """

    index: str
    why: str
    files: dict[str, int]
    bytes: dict[str, int]
    absent: int
    wrong: tuple[str, ...]


def import_(
    *,
    name: Annotated[str, typer.Argument(metavar="CHANNEL", help="Name of the channel.")],
    directory: Annotated[
        Path, typer.Argument(metavar="DIR", help="Directory with what upstream has at its address.")
    ],
    config: ConfigOption = None,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Take over what an existing mirror on this host has, without fetching or copying it.

    Every file is hashed and has to be what a signed index promises: that of the directory, or
    else that of upstream. On the same file system files are cloned, or linked where it cannot
    clone; elsewhere they are copied.

    Example: firedoor channel import debian /srv/mirror/debian
    """
    place = here(config, data)
    channel = place.config.channel(name)
    if not directory.is_dir():
        raise BadInput(f"{directory} is not a directory", hint="name the one that holds the mirror")
    expect_owner(place.files.blobs)
    storage = place.config.storage
    importer = Importer(
        channel,
        directory.absolute(),
        blobs=DiskBlobs(place.files.blobs),
        limits=Limits(storage.budget, storage.reserve),
        clock=SystemClock(),
        progress=_progress,
    )
    found = importer.run(_lacking(place, name))
    if as_json:
        output.document(
            ImportReply(
                found.index,
                found.why,
                {way.value: found.files[way] for way in Way},
                {way.value: found.bytes[way] for way in Way},
                found.absent,
                tuple(found.wrong),
            )
        )
        return
    output.facts(_facts(name, found))
    if found.files[Way.LINKED]:
        output.line(
            "linked files are one file under two names: replace them in the directory, as mirror "
            "tools do, and never write into them (rsync --inplace)"
        )
    output.line(f"the next look takes them over; at once: firedoor channel sync {name}")


def _facts(name: str, found: Imported) -> list[tuple[str, object]]:
    taken = [
        (way.value, f"{found.files[way]:,} files, {spelled(found.bytes[way])}")
        for way in Way
        if found.files[way]
    ]
    index = f"of the {found.index}" if found.index == "directory" else "of upstream"
    wrong = ", ".join(found.wrong[:_NAMED]) + (", .." if len(found.wrong) > _NAMED else "")
    return [
        ("channel", name),
        ("index", f"{index}: {found.why}" if found.why else index),
        *taken,
        ("not there", f"{found.absent:,} files, fetched from upstream"),
        *(
            [("not what the index promises", f"{len(found.wrong):,} files, left alone: {wrong}")]
            if found.wrong
            else []
        ),
    ]


def _lacking(place: Place, channel: str) -> Iterator[Listed]:
    """What kept releases name and nobody has: what rotted, or was lost with a backup."""
    try:
        with place.judge() as judge, ExitStack() as stack, judge.snapshot():
            now_ms = int(time.time() * 1000)
            gate = gate_of(place, stack)
            kept = kept_releases(judge, gate, place.config, channel, now_ms)
            named = {
                Listed(path, entry.sha256, entry.size)
                for release in kept
                for path, entry in judge.manifest(release).items()
            }
    except Unavailable:
        return
    held = sizes_on_disk(place.files.blobs, {each.sha256 for each in named if each.sha256})
    yield from sorted((e for e in named if e.sha256 not in held), key=lambda each: each.path)


def _progress(done: int, of: int) -> None:
    if sys.stderr.isatty() and (done % _EVERY == 0 or done == of):
        end = "\n" if done == of else ""
        sys.stderr.write(f"\r{done:,} of {of:,} files{end}")
        sys.stderr.flush()
