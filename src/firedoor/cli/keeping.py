"""Which releases can still be given to a machine, and what they take on the disk."""

import time
from contextlib import ExitStack

from firedoor.adapters.store.gate import GateReader
from firedoor.cli.context import Place
from firedoor.core.errors import Unavailable
from firedoor.core.units import Digest
from firedoor.wire.housekeeping import kept_releases


def kept(place: Place, channel: str) -> frozenset[str]:
    """Ids of the releases of a channel whose bytes are kept; none before the judge's first run."""
    try:
        with place.judge() as judge, ExitStack() as stack, judge.snapshot():
            return kept_releases(
                judge, _gate(place, stack), place.config, channel, int(time.time() * 1000)
            )
    except Unavailable:
        return frozenset()


def kept_bytes(place: Place, channel: str) -> int:
    """Bytes that the kept releases of a channel take together: a file they share counts once."""
    releases = kept(place, channel)
    sizes: dict[Digest, int] = {}
    if releases:
        with place.judge() as judge:
            for release in releases:
                sizes.update((e.sha256, e.size) for e in judge.manifest(release).values())
    return sum(sizes.values())


def _gate(place: Place, stack: ExitStack) -> GateReader | None:
    try:
        return stack.enter_context(place.gate())
    except Unavailable:
        return None
