"""Where the machines that are enrolled find this installation, and what they have to believe."""

import socket
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from types import MappingProxyType
from typing import Final

from firedoor.adapters.blobs.layout import place_in
from firedoor.adapters.keys.authority import is_issued_by, names_of
from firedoor.adapters.keys.openpgp import SigningKey
from firedoor.adapters.keys.tuf import OwnRoot
from firedoor.cli.context import Place
from firedoor.cli.snippets import Target
from firedoor.config import Config, Listen, TlsConfig
from firedoor.core.errors import BadConfig, BadInput, Unavailable
from firedoor.core.release import Manifest
from firedoor.formats.clamav import SUFFIXES, suffix_of
from firedoor.formats.debian import parse_release, unwrapped
from firedoor.wire.files import Files
from firedoor.wire.upstreams import trusted_root

_DISTRIBUTED: Final = Path("/usr/share/keyrings")
_EVERYWHERE: Final = ("0.0.0.0", "::")  # noqa: S104 - compared, not bound


def target_of(
    config: Config,
    *,
    gate: str = "",
    intake: str = "",
    channel: str = "",
    has: Mapping[str, Sequence[str]] = MappingProxyType({}),
    said: Mapping[str, Sequence[Mapping[str, str]]] = MappingProxyType({}),
) -> Target:
    """Where machines find this installation.

    Args:
        config: Says where gate and intake listen, and which channels there are.
        gate: URL under which machines reach the gate, where the configuration cannot tell.
        intake: The same for the intake.
        channel: Channel of the examples; else the first one.
        has: Of channels that do not say what they have, what their newest release has.
        said: Of channels of Debian repositories, what the ``Release`` of each suite says.

    Raises:
        BadInput: A URL is none.
        BadConfig: A key of a channel cannot be read.
    """
    first = config.channels[0].name if config.channels else "CHANNEL"
    return Target(
        gate=gate.rstrip("/") or _reached(config.gate.listen, config.gate.tls),
        intake=intake.rstrip("/") or _reached(config.intake.listen, config.intake.tls),
        channel=channel or first,
        keyrings=_keyrings(config),
        databases={
            each.name: [path for path in paths if suffix_of(path) in SUFFIXES]
            for each in config.channels
            if each.clamav is not None
            for paths in [each.clamav.databases or has.get(each.name, ())]
        },
        ca=_own_authority(config),
        roots=_roots(config),
        suites=said,
    )


def mirrored(place: Place) -> dict[str, list[str]]:
    """What the newest release of each channel of ClamAV databases has, as far as there is one."""
    found: dict[str, list[str]] = {}
    with suppress(Unavailable), place.judge() as records:
        for channel in place.config.channels:
            boardings = [] if channel.clamav is None else records.boardings(channel.name)
            if boardings:
                found[channel.name] = sorted(records.manifest(boardings[-1].release))
    return found


def said_by(place: Place) -> dict[str, list[Mapping[str, str]]]:
    """What the ``Release`` of each suite says, of channels of apt that have a release.

    A suite whose ``Release`` cannot be read says nothing.
    """
    found: dict[str, list[Mapping[str, str]]] = {}
    with suppress(Unavailable), place.judge() as records:
        for channel in place.config.channels:
            boardings = [] if channel.apt is None else records.boardings(channel.name)
            if channel.apt is not None and boardings:
                manifest = records.manifest(boardings[-1].release)
                found[channel.name] = [
                    _said(place.files.blobs, manifest, suite) for suite in channel.apt.suites
                ]
    return found


def _said(blobs: Path, manifest: Manifest, suite: str) -> Mapping[str, str]:
    """Fields of a suite's ``Release``, whose signature was checked when it was mirrored."""
    for name in ("InRelease", "Release"):
        known = manifest.get(f"dists/{suite}/{name}")
        if known is not None:
            with suppress(OSError, BadInput):
                data = place_in(blobs, known.sha256).read_bytes()
                return parse_release(unwrapped(data)).fields
    return {}


def _keyrings(config: Config) -> dict[Path, bytes]:
    """Keys that a machine cannot be expected to have; those of a Debian package it has."""
    keys = {}
    for channel in config.channels:
        believed = () if channel.rpm is None else channel.rpm.trust
        if channel.apt is not None and channel.apt.sign is not None:
            keys[channel.apt.sign] = SigningKey(channel.apt.sign).public()
        elif channel.apt is not None:
            believed = tuple(f for f in channel.apt.trust if _DISTRIBUTED not in f.parents)
        for file in believed:
            try:
                keys[file] = file.read_bytes()
            except OSError as error:
                raise BadConfig(f"the key {file} cannot be read: {error.strerror}") from error
    return keys


def _roots(config: Config) -> dict[str, bytes]:
    """Of every channel of a TUF repository the root that its clients begin with."""
    roots = {}
    for channel in config.channels:
        if channel.tuf is not None and channel.tuf.sign is not None:
            own = OwnRoot(channel.tuf.sign)
            roots[channel.name] = own.roots[own.version]
        elif channel.tuf is not None:
            roots[channel.name] = trusted_root(channel.tuf)
    return roots


def _reached(listen: Listen, tls: TlsConfig | None) -> str:
    """URL under which other hosts most likely reach this one."""
    host = socket.gethostname() if listen.host in _EVERYWHERE else str(listen).rpartition(":")[0]
    if tls is None:
        return f"http://{host}:{listen.port}"
    names = names_of(tls.certificate)
    if names and host not in names:
        host = f"[{names[0]}]" if ":" in names[0] else names[0]
    return f"https://{host}:{listen.port}"


def _own_authority(config: Config) -> str:
    """PEM of the site's authority, where it vouches for the server; of others clients know."""
    authority = Files.of(config).authority / "ca.pem"
    servers = [tls.certificate for tls in (config.gate.tls, config.intake.tls) if tls]
    if authority.exists() and any(is_issued_by(each, authority) for each in servers):
        return authority.read_text(encoding="ascii")
    return ""
