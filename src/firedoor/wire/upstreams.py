"""Which adapter reads a channel's upstream."""

import random
from collections.abc import Callable
from pathlib import Path
from typing import Final

from firedoor.adapters.keys.openpgp import Keyring
from firedoor.adapters.upstream.apt import AptUpstream, Selection
from firedoor.adapters.upstream.clamav import ClamavUpstream, Sigtool
from firedoor.adapters.upstream.directory import DirectoryUpstream
from firedoor.adapters.upstream.get import Quiet
from firedoor.adapters.upstream.http import HttpUpstream
from firedoor.adapters.upstream.repository import nothing_before
from firedoor.adapters.upstream.rpm import Packages, RpmUpstream
from firedoor.adapters.upstream.suricata import SuricataUpstream
from firedoor.adapters.upstream.tuf import Layout, TufUpstream, checked_root
from firedoor.config import ChannelConfig, TufConfig
from firedoor.core.channel import Kind
from firedoor.core.errors import BadConfig, Untrusted
from firedoor.ports import BlobStore, Clock, Upstream
from firedoor.services.snapshot import Snapshot

_AT_ONCE: Final = 4
"""Files that one server is asked for at the same time: as many connections as a browser opens."""


def source_of(
    channel: ChannelConfig,
    rng: random.Random,
    clock: Clock,
    *,
    until_ms: float,
    quiet: Quiet,
    throttle: Callable[[int], None] = lambda _: None,
    at_once: int = 1,
) -> HttpUpstream | DirectoryUpstream:
    """The server or directory that a channel's upstream is; arguments as of ``upstream_of``.

    Raises:
        BadConfig: The channel's upstream is none.
        Unavailable: It cannot be looked at.
    """
    # Of files, and of databases that nobody named, the address says what they are listed by; all
    # else lies in a directory.
    listed = channel.clamav is not None and not channel.clamav.databases
    plain = listed or channel.kind is Kind.FILES
    url = channel.upstream if plain else f"{channel.upstream.rstrip('/')}/"
    if channel.directory is not None:
        return DirectoryUpstream(Path(channel.directory), clock, until_ms=until_ms)
    return HttpUpstream(
        url, rng, clock, until_ms=until_ms, quiet=quiet, throttle=throttle, at_once=at_once
    )


def upstream_of(
    channel: ChannelConfig,
    rng: random.Random,
    clock: Clock,
    blobs: BlobStore,
    *,
    until_ms: float,
    quiet: Quiet,
    previous: Snapshot | None = None,
    ours: bool = False,
    throttle: Callable[[int], None] = lambda _: None,
    at_once: int = 1,
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
        ours: It was taken with the configuration as it is.
        throttle: Told of bytes that come over the network; it waits where they are too many.
        at_once: Threads that may call ``fetch`` at the same time; see ``fetches_at_once``.

    Raises:
        BadConfig: The channel's upstream is none.
        Unavailable: It cannot be looked at.
    """
    source = source_of(
        channel,
        rng,
        clock,
        until_ms=until_ms,
        quiet=quiet,
        throttle=throttle,
        at_once=at_once,
    )
    known = {} if previous is None else previous.manifest
    if channel.clamav is not None:
        named = channel.clamav.databases
        # A server need not say what it has where the configuration names what is wanted.
        listed = channel.directory is not None or not named
        return ClamavUpstream(source, Sigtool(), blobs, names=named, listed=listed, previous=known)
    fetched = nothing_before if previous is None else previous.fetched
    if channel.rpm is not None:
        part = channel.rpm
        return RpmUpstream(
            source,
            Keyring(part.trust) if part.trust else None,
            Packages(part.architectures, part.packages),
            blobs,
            clock,
            previous=fetched,
            deferred=channel.may_lack,
        )
    if channel.feeds:
        return SuricataUpstream(source, channel.feeds, blobs, previous=fetched)
    if channel.tuf is not None:
        return TufUpstream(
            source,
            trusted_root(channel.tuf),
            blobs,
            layout=Layout(_within(channel.tuf.metadata), _within(channel.tuf.targets)),
            previous=known,
        )
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
        ours=ours,
        deferred=channel.may_lack,
    )


def fetches_at_once(channel: ChannelConfig) -> int:
    """How many files of a channel's upstream may be fetched at the same time.

    From a server whose adapter only passes on what the index says: repositories and plain files.
    """
    plain = channel.kind in (Kind.APT, Kind.RPM, Kind.FILES)
    return _AT_ONCE if plain and channel.directory is None else 1


def trusted_root(part: TufConfig) -> bytes:
    """The root that a channel's clients begin with.

    Raises:
        BadConfig: It cannot be read, or is none.
    """
    try:
        data = part.trust.read_bytes()
        checked_root(data)
    except OSError as error:
        raise BadConfig(f"the root {part.trust} cannot be read: {error.strerror}") from error
    except Untrusted as error:
        hint = "the vendor hands out such a file, as root.json or 1.root.json"
        raise BadConfig(f"the root {part.trust}: {error}", hint=hint) from error
    return data


def _within(folder: str) -> str:
    return "" if folder == "." else f"{folder}/"
