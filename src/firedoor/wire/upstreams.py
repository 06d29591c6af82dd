"""Which adapter reads a channel's upstream."""

import random
from pathlib import Path

from firedoor.adapters.keys.openpgp import Keyring
from firedoor.adapters.upstream.apt import AptUpstream, Selection
from firedoor.adapters.upstream.clamav import ClamavUpstream, Sigtool
from firedoor.adapters.upstream.directory import DirectoryUpstream
from firedoor.adapters.upstream.get import Quiet
from firedoor.adapters.upstream.http import HttpUpstream
from firedoor.config import ChannelConfig
from firedoor.ports import BlobStore, Clock, Upstream
from firedoor.services.snapshot import Snapshot


def source_of(
    channel: ChannelConfig, rng: random.Random, clock: Clock, *, until_ms: float, quiet: Quiet
) -> HttpUpstream | DirectoryUpstream:
    """The server or directory that a channel's upstream is; arguments as of ``upstream_of``.

    Raises:
        BadConfig: The channel's upstream is none.
        Unavailable: It cannot be looked at.
    """
    named = channel.clamav is not None and channel.clamav.databases
    # A repository is a directory, whether or not its address says so.
    whole = channel.apt is not None or named
    url = f"{channel.upstream.rstrip('/')}/" if whole else channel.upstream
    if channel.directory is not None:
        return DirectoryUpstream(Path(channel.directory), clock, until_ms=until_ms)
    return HttpUpstream(url, rng, clock, until_ms=until_ms, quiet=quiet)


def upstream_of(
    channel: ChannelConfig,
    rng: random.Random,
    clock: Clock,
    blobs: BlobStore,
    *,
    until_ms: float,
    quiet: Quiet,
    previous: Snapshot | None = None,
) -> Upstream:
    """The adapter for one look at a channel's upstream.

    Args:
        channel: Whose upstream.
        rng: Spreads the pauses between attempts.
        clock: For the adapter.
        blobs: Where the files go, and indices are read.
        until_ms: Monotonic time at which the look ends.
        quiet: How long upstream asked to be left alone; outlives the look.
        previous: The last snapshot, if any.

    Raises:
        BadConfig: The channel's upstream is none.
        Unavailable: It cannot be looked at.
    """
    source = source_of(channel, rng, clock, until_ms=until_ms, quiet=quiet)
    known = {} if previous is None else previous.manifest
    if channel.clamav is not None:
        named = channel.clamav.databases
        # A server need not say what it has where the configuration names what is wanted.
        listed = channel.directory is not None or not named
        return ClamavUpstream(source, Sigtool(), blobs, names=named, listed=listed, previous=known)
    if channel.apt is None:
        return source
    apt = channel.apt
    selection = Selection(apt.suites, apt.components, apt.architectures, apt.packages)
    return AptUpstream(
        source,
        Keyring(apt.trust),
        selection,
        blobs,
        clock,
        previous=known,
        deferred=channel.may_lack,
    )
