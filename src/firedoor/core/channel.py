"""A channel: one upstream source of updates, and the kind of updater that reads it.

What differs between kinds of updaters is data, not code: the loop reads the traits below and
never asks "which kind is this?". Figures and verbs were measured with the real clients
(clients.md).
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from fnmatch import translate
from functools import cache
from types import MappingProxyType
from typing import Final

from firedoor.core.errors import BadConfig

RESERVED_NAMES: Final = frozenset({"m", "healthz"})
"""First path segments that the gate keeps for itself: path tokens and its own health."""

_NAME: Final = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")
_HOUR_MS: Final = 3_600_000

_HASH_NAMED: Final = f"repodata/{'[0-9a-f]' * 40}*-*"
"""Metadata of an RPM repository whose name begins with its digest, of SHA-1 at least."""

_TUF_TARGET: Final = f"targets/*{'[0-9a-f]' * 64}.*"
"""A target of a TUF repository whose name begins with its digest, of SHA-256 at least."""


class Kind(StrEnum):
    """The kind of updater that reads a channel."""

    FILES = "files"
    APT = "apt"
    RPM = "rpm"
    CLAMAV = "clamav"
    SURICATA = "suricata"
    TUF = "tuf"


class Verb(StrEnum):
    """The three honest verbs of undoing (README.md section 4)."""

    CONTAIN = "contain"
    REVERT = "revert"
    REMEDY = "remedy"


@dataclass(frozen=True, slots=True)
class Undo:
    """One way this kind of client can be undone.

    Attributes:
        verb: What is achieved.
        how: One sentence for people: what Firedoor does, and what the client does then.
    """

    verb: Verb
    how: str


@dataclass(frozen=True, slots=True)
class Traits:
    """What the loop needs to know about one kind of updater.

    Attributes:
        session_idle_ms: A session ends when the machine asked nothing for this long, > 0.
        session_max_ms: A session ends after this long even if requests go on, >= idle.
        usual_period_ms: How far apart two sessions of this client usually are, > 0. The first
            silence deadlines are multiples of it, until a machine's own gaps are known.
        undo: The verbs this kind supports, with how. ``CONTAIN`` is always among them.
        freshness: Shell patterns of the files that upstream may renew without changing content
            (re-signed indexes, generated checksums). They are no part of a release's identity.
        indices: Shell patterns of files that say what there is: who has read one has installed
            nothing yet.
        immutable: Shell patterns of names that mean the same bytes for ever: who has read an
            older index may still ask for what it names.
        deferrable: Shell patterns of files of which most machines only ever want a few: they may
            be fetched when somebody asks, where an index promises their digests.
        tells_installs: The client's ``If-Modified-Since`` is when it installed the file itself.
            It is sent no dates, is answered 304 from memory (``services.fetches``), and tells at
            its next poll whether it threw away what it got.
        tool: The program that looks at a release before the first machine gets it, "" for none.
        refused: One sentence for people: what a client does that is served nothing, where that
            is easily overlooked.
    """

    session_idle_ms: int
    session_max_ms: int
    usual_period_ms: int
    undo: tuple[Undo, ...]
    freshness: tuple[str, ...] = ()
    indices: tuple[str, ...] = ()
    immutable: tuple[str, ...] = ()
    deferrable: tuple[str, ...] = ()
    tells_installs: bool = False
    tool: str = ""
    refused: str = ""

    @property
    def reverts(self) -> bool:
        """Whether the client goes back when it is served the previous content."""
        return any(undo.verb is Verb.REVERT for undo in self.undo)

    def is_freshness(self, path: str) -> bool:
        """Whether ``path`` is a freshness file of this kind; ``*`` also matches ``/``."""
        return _fits(path, self.freshness)

    def is_index(self, path: str) -> bool:
        """Whether ``path`` says what there is, and is nothing that is installed."""
        return _fits(path, self.indices)

    def is_immutable(self, path: str) -> bool:
        """Whether ``path`` means the same bytes in every release that has it."""
        return _fits(path, self.immutable)

    def is_deferrable(self, path: str) -> bool:
        """Whether ``path`` may be fetched when somebody asks: its name tells the package, too."""
        return bool(self.deferrable_package(path))

    def deferrable_package(self, path: str) -> str:
        """``package_of`` a file that may be fetched when somebody asks, "" of any other."""
        return package_of(path) if _fits(path, self.deferrable) else ""


def _fits(path: str, patterns: tuple[str, ...]) -> bool:
    return bool(patterns) and _one_of(patterns).match(path) is not None


@cache
def _one_of(patterns: tuple[str, ...]) -> re.Pattern[str]:
    # Asked of every file of a distribution, and of every file that is served.
    return re.compile("|".join(map(translate, patterns)))


def _(message: str) -> str:
    """Mark a sentence that the console shows in the reader's language; see its catalogues."""
    return message


_TRAITS: Final[Mapping[Kind, Traits]] = MappingProxyType(
    {
        Kind.FILES: Traits(
            session_idle_ms=2_000,
            session_max_ms=60_000,
            usual_period_ms=_HOUR_MS,
            undo=(
                Undo(
                    Verb.CONTAIN,
                    _("nobody new is admitted, and files only this release has are refused"),
                ),
                Undo(
                    Verb.REVERT,
                    _(
                        "the client takes what it is served: its next poll gets the previous "
                        "release"
                    ),
                ),
                Undo(
                    Verb.REMEDY,
                    _("a machine that no longer polls needs the operator; the list names them"),
                ),
            ),
        ),
        Kind.APT: Traits(
            session_idle_ms=30_000,
            session_max_ms=30 * 60_000,
            # apt-daily.timer: twice a day, at a time of the machine's own.
            usual_period_ms=12 * _HOUR_MS,
            undo=(
                Undo(
                    Verb.CONTAIN,
                    _(
                        "nobody new is admitted, and packages only this release has are refused: "
                        "also to machines that have read its index"
                    ),
                ),
                Undo(
                    Verb.REMEDY,
                    _(
                        "apt ignores an older index: a machine that installed it goes back when "
                        "upstream has something newer, or by hand; the list names them"
                    ),
                ),
            ),
            freshness=(
                "dists/*/InRelease",
                "dists/*/Release.gpg",
                "dists/*/Release",
            ),
            indices=("dists/*",),
            immutable=("pool/*", "dists/*/by-hash/*"),
            deferrable=("pool/*.deb",),
            tool="dpkg-deb",
        ),
        Kind.CLAMAV: Traits(
            # freshclam loads each database that it got to test it before it asks for the next
            # one, and waits for five seconds before it asks again (ADR 0026).
            session_idle_ms=60_000,
            session_max_ms=25 * 60_000,
            usual_period_ms=_HOUR_MS,
            undo=(
                Undo(
                    Verb.CONTAIN,
                    _("nobody new is admitted: whoever asks gets the release before"),
                ),
                Undo(
                    Verb.REVERT,
                    _(
                        "freshclam takes older databases from a DatabaseCustomURL, and checks the "
                        "vendor's signature of .cvd files: its next poll goes back"
                    ),
                ),
                Undo(
                    Verb.REMEDY,
                    _(
                        "one bad signature is ignored by its name in an .ign2 file, which "
                        "`firedoor release remedy` lists; a machine that no longer polls needs the "
                        "operator; the list names them"
                    ),
                ),
            ),
            tells_installs=True,
            tool="clamscan",
        ),
        Kind.RPM: Traits(
            session_idle_ms=30_000,
            session_max_ms=30 * 60_000,
            # dnf-makecache.timer: an hour after the last run, and up to another at random.
            usual_period_ms=2 * _HOUR_MS,
            undo=(
                Undo(
                    Verb.CONTAIN,
                    _(
                        "nobody new is admitted, and packages only this release has are refused: "
                        "also to machines that have read its metadata"
                    ),
                ),
                Undo(
                    Verb.REVERT,
                    _(
                        "dnf takes the previous metadata at its next look, and `dnf distro-sync` "
                        "then goes back; `dnf upgrade` alone never does"
                    ),
                ),
                Undo(
                    Verb.REMEDY,
                    _(
                        "a machine that no longer polls, or whose yum 3 ignores older metadata, "
                        "needs the operator; the list names them"
                    ),
                ),
            ),
            freshness=("repodata/repomd.xml", "repodata/repomd.xml.asc"),
            indices=("repodata/*",),
            immutable=("*.rpm", _HASH_NAMED),
            deferrable=("*.rpm",),
            tool="rpmkeys",
        ),
        Kind.SURICATA: Traits(
            session_idle_ms=10_000,
            session_max_ms=10 * 60_000,
            # The client has no timer of its own; its manual has it run by cron, once a day.
            usual_period_ms=24 * _HOUR_MS,
            undo=(
                Undo(
                    Verb.CONTAIN,
                    _(
                        "nobody new is admitted; a machine that has read the digest of the bad "
                        "feed "
                        "is given the previous one"
                    ),
                ),
                Undo(
                    Verb.REVERT,
                    _(
                        "suricata-update takes what it is served: its next run, 15 minutes "
                        "after the "
                        "last download at the earliest, gets the previous rules"
                    ),
                ),
                Undo(
                    Verb.REMEDY,
                    _("a machine that no longer runs it needs the operator; the list names them"),
                ),
            ),
            indices=("*.md5",),
            tool="suricata",
            refused=_(
                "suricata-update says so, ends with 0 and goes on with the rules that it has; "
                "on its first run it has none of this channel: run it with --fail"
            ),
        ),
        Kind.TUF: Traits(
            session_idle_ms=10_000,
            session_max_ms=10 * 60_000,
            # Clients have no timer that they share; those of programs look when they start.
            usual_period_ms=24 * _HOUR_MS,
            undo=(
                Undo(
                    Verb.CONTAIN,
                    _(
                        "nobody new is admitted, and targets only this release has are refused: "
                        "also to machines that have read its metadata, which keep the files they "
                        "have"
                    ),
                ),
                Undo(
                    Verb.REMEDY,
                    _(
                        "TUF clients refuse older metadata: a machine that has read this release's "
                        "takes nothing until upstream publishes something newer, or the channel "
                        "has a key to sign by; the list names them"
                    ),
                ),
            ),
            # What the roles say is in content.json; their versions, dates and signatures are not.
            freshness=("metadata/*",),
            indices=("metadata/*", "content.json"),
            immutable=("metadata/[1-9]*.json", _TUF_TARGET),
        ),
    }
)

_SIGNED: Final[Mapping[Kind, Traits]] = MappingProxyType(
    {
        Kind.APT: replace(
            _TRAITS[Kind.APT],
            undo=(
                _TRAITS[Kind.APT].undo[0],
                Undo(
                    Verb.REVERT,
                    _(
                        "the previous index is signed anew with a later date: with the pin and "
                        "allow-downgrades of `machine enroll`, the next upgrade goes back"
                    ),
                ),
                Undo(
                    Verb.REMEDY,
                    _("a machine that no longer polls needs the operator; the list names them"),
                ),
            ),
        ),
        Kind.TUF: replace(
            _TRAITS[Kind.TUF],
            undo=(
                Undo(
                    Verb.CONTAIN,
                    _(
                        "nobody new is admitted: whoever asks gets the targets of the release "
                        "before"
                    ),
                ),
                Undo(
                    Verb.REVERT,
                    _(
                        "the previous targets are signed anew with a higher version: the client's "
                        "next look takes them"
                    ),
                ),
                Undo(
                    Verb.REMEDY,
                    _("a machine that no longer polls needs the operator; the list names them"),
                ),
            ),
        ),
    }
)


def traits(kind: Kind, *, signed: bool = False) -> Traits:
    """The traits of a kind.

    Args:
        kind: The kind.
        signed: Firedoor signs what clients read, with the operator's key.
    """
    return (signed and _SIGNED.get(kind)) or _TRAITS[kind]


def package_of(path: str) -> str:
    """What all versions of one package have in common: ``openssh-server:amd64``.

    Returns:
        The name and architecture, or "" where the name of the file does not tell.

    Source: Debian policy, 5.6.12 (a version has no underscore); the names that dak gives. RPM:
    ``name-version-release.architecture.rpm``, where neither version nor release has a hyphen.
    """
    if path.endswith(".rpm"):
        whole, _, architecture = path.rpartition("/")[2][: -len(".rpm")].rpartition(".")
        named, _, release = whole.rpartition("-")
        package, _, version = named.rpartition("-")
        return f"{package}:{architecture}" if package and version and release else ""
    name, _, rest = path.rpartition("/")[2].partition("_")
    version, _, last = rest.rpartition("_")
    architecture, dot, suffix = last.partition(".")
    usual = name and version and "_" not in version and architecture and dot and suffix == "deb"
    return f"{name}:{architecture}" if usual else ""


def check_channel_name(name: str) -> str:
    """Return ``name`` if a channel may be called that.

    The name is the first segment of every URL of the channel and part of each release's id.

    Args:
        name: 1 to 64 characters: lower-case letters, digits, ``.``, ``_``, ``-``, beginning
            with a letter or digit, and not reserved.

    Raises:
        BadConfig: It may not.
    """
    if _NAME.fullmatch(name) is None:
        raise BadConfig(
            f"a channel cannot be called {name!r}",
            hint="use 1 to 64 lower-case letters, digits, '.', '_' or '-', "
            "beginning with a letter or digit",
        )
    if name in RESERVED_NAMES:
        raise BadConfig(
            f"a channel cannot be called {name!r}: the gate keeps this name for itself",
            hint="choose another name",
        )
    return name
