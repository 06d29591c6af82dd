"""What a release changes, and which of it is only named so far."""

import msgspec

from firedoor.adapters.blobs.layout import sizes_on_disk
from firedoor.cli import output
from firedoor.cli.context import Place
from firedoor.core.release import Artefact, Change, diff


class Difference(msgspec.Struct, frozen=True):
    """What ``release diff --json`` prints: two release ids and what changed between them.

    Attributes:
        old: Release id, "" for nothing.
        new: Release id.
        artefacts: What changed, by path.
        named_only: Paths of new bytes that are not held: they are fetched when a machine asks.
    """

    old: str
    new: str
    artefacts: tuple[Artefact, ...]
    named_only: tuple[str, ...] = ()


def difference(place: Place, channel: str, old: str, new: str) -> Difference:
    """Compare two releases of a channel; ``old`` may be "".

    Raises:
        Unavailable: The judge has never run.
    """
    with place.judge() as judge:
        artefacts = diff(judge.manifest(old) if old else {}, judge.manifest(new))
    config = next((each for each in place.config.channels if each.name == channel), None)
    fresh = {
        each.path: each.new_sha256
        for each in artefacts
        if each.new_sha256 is not None and config is not None and config.may_lack(each.path)
    }
    held = sizes_on_disk(place.files.blobs, fresh.values())
    named = tuple(path for path, digest in fresh.items() if digest not in held)
    return Difference(old, new, artefacts, named)


def show_difference(found: Difference) -> None:
    """Print it for a person."""
    output.say(f"from {output.short(found.old)} to {output.short(found.new)}")
    named = frozenset(found.named_only)
    output.table(
        ("change", "path", "sha256", "purl", "bytes"),
        [
            (
                each.change.value,
                each.path,
                each.new_sha256 or each.old_sha256,
                each.purl,
                _bytes(each, named),
            )
            for each in found.artefacts
        ],
    )
    if named:
        output.say(f"{len(named):,} files are named only: fetched when a machine asks for them")


def _bytes(artefact: Artefact, named: frozenset[str]) -> str:
    if artefact.change is Change.REMOVED:
        return ""
    return "named only" if artefact.path in named else "held"
