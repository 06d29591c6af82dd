"""The validated stage: a configuration that says only what it may, frozen.

Times are integer milliseconds and sizes bytes, as everywhere in the code; how they are written
in a file is the business of ``values``.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path

from firedoor.config.problem import nearest
from firedoor.config.settings import Settings
from firedoor.config.values import Listen
from firedoor.core.channel import Kind, Traits, traits
from firedoor.core.errors import NotFound
from firedoor.core.ring import EVERYONE, Ring, largest_in_flight
from firedoor.core.terms import LARGEST_AUTO_BUDGET, Policy, auto_budget


@dataclass(frozen=True, slots=True)
class TimeConfig:
    """The clockwork.

    Attributes:
        bucket_ms: Tick of the judge, > 0.
        heartbeat_ms: How often agents are expected to send a heartbeat, > 0.
        silence_min_ms: No silence deadline is shorter, >= bucket.
        settle_ms: After an admission, time in which signs of life do not count yet: a machine
            that is still installing may speak once more before it dies. >= 0, < silence_min.
    """

    bucket_ms: int
    heartbeat_ms: int
    silence_min_ms: int
    settle_ms: int


@dataclass(frozen=True, slots=True)
class TlsConfig:
    """With what a role proves itself, and whose word it takes about clients.

    Attributes:
        certificate: PEM file: the certificate and what stands between it and the root.
        key: PEM file: its private key.
        client_ca: PEM file: authorities whose client certificates are believed; None for none.
        listen_plain: Address on which the role goes on without TLS; None: nowhere.
    """

    certificate: Path
    key: Path
    client_ca: Path | None
    listen_plain: Listen | None


@dataclass(frozen=True, slots=True)
class GateConfig:
    """Where machines read content, and how they may say who they are.

    Attributes:
        listen: Address and port.
        identify: Ways to identify a machine, in the order they are tried.
        tls: What ``listen`` speaks TLS with; None: it is plain.
        proxies: Addresses and networks whose word is taken about who they ask for.
    """

    listen: Listen
    identify: tuple[str, ...]
    tls: TlsConfig | None = None
    proxies: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class IntakeConfig:
    """Where agents post signals.

    Attributes:
        listen: Address and port.
        max_body_bytes: Largest body of one request, > 0.
        tls: What ``listen`` speaks TLS with; None: it is plain.
        definitions: The operator's own signal definitions, before those that are shipped.
    """

    listen: Listen
    max_body_bytes: int
    tls: TlsConfig | None = None
    definitions: Path | None = None


@dataclass(frozen=True, slots=True)
class ConsoleConfig:
    """Where people and scripts look and act.

    Attributes:
        listen: Loopback address and port.
    """

    listen: Listen


@dataclass(frozen=True, slots=True)
class MirrorConfig:
    """How upstreams are read.

    Attributes:
        bandwidth: Bytes a second of all upstreams together, > 0; None: as fast as they come.
    """

    bandwidth: int | None = None


@dataclass(frozen=True, slots=True)
class StorageConfig:
    """How much may be stored.

    Attributes:
        budget: Bytes of all content together, > 0; None: what the disk has.
        reserve: Bytes that have to stay free on the disk, > 0; None: measured by the disk.
    """

    budget: int | None = None
    reserve: int | None = None


@dataclass(frozen=True, slots=True)
class LedgerConfig:
    """The record of every decision.

    Attributes:
        head: Absolute path of the file that the ledger's head is kept in.
    """

    head: Path


@dataclass(frozen=True, slots=True)
class ExploitedConfig:
    """The list of vulnerabilities that are known to be exploited.

    Attributes:
        feed: An http or https URL, or the absolute path of a file; None for no list.
        poll_ms: How often it is read, > 0.
    """

    feed: str | None = field(default=None, repr=False)
    poll_ms: int = 6 * 3_600_000


@dataclass(frozen=True, slots=True)
class AlertConfig:
    """The one hook that tells people. At most one of the two is set.

    Attributes:
        webhook: URL an alert is posted to. Not shown: its path is often a secret.
        command: Program and arguments, run with the alert on its standard input.
    """

    webhook: str | None = field(default=None, repr=False)
    command: tuple[str, ...] | None = None


@dataclass(frozen=True, slots=True)
class PreflightConfig:
    """How much looking at a release may cost before the first machine gets it.

    Attributes:
        time_ms: Longest time for all of one release, > 0.
        memory_bytes: Most address space of each process, > 0.
        clean: Absolute paths of files and directories in which nothing harmful can be found.
    """

    time_ms: int
    memory_bytes: int
    clean: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class AptConfig:
    """Which part of a Debian repository a channel mirrors, and by whose keys.

    Attributes:
        suites: Directories below ``dists/``, at least one.
        components: Their names; empty for all.
        architectures: Their names; empty for all.
        packages: Shell patterns of package names; empty for all.
        trust: Files with the OpenPGP keys of which one has to sign each suite, at least one.
        sign: File with the operator's own secret key, by which everything that clients read is
            signed anew; None: they read the vendor's signatures.
        lazy: Packages are fetched when a machine asks for them, or has asked for an earlier
            version; else all of them before a release boards.
        eager: Shell patterns of names of packages that are always fetched before.
    """

    suites: tuple[str, ...]
    components: tuple[str, ...]
    architectures: tuple[str, ...]
    packages: tuple[str, ...]
    trust: tuple[Path, ...]
    sign: Path | None = None
    lazy: bool = True
    eager: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ClamavConfig:
    """Which databases of ClamAV a channel mirrors.

    Attributes:
        databases: Their names, below the upstream; empty for all that upstream lists.
    """

    databases: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class RpmConfig:
    """Which part of an RPM repository a channel mirrors, and by whose keys.

    Attributes:
        architectures: Their names; empty for all.
        packages: Shell patterns of package names; empty for all.
        trust: Files with the OpenPGP keys of which one has to sign ``repomd.xml``; empty where
            the vendor does not sign it.
        lazy: As in ``AptConfig``.
        eager: Likewise.
    """

    architectures: tuple[str, ...] = ()
    packages: tuple[str, ...] = ()
    trust: tuple[Path, ...] = ()
    lazy: bool = True
    eager: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class TufConfig:
    """Where a TUF repository has its files, and whose root it is believed by.

    Attributes:
        trust: File with the root that clients begin with.
        sign: Directory of the operator's own roots and keys, by which everything that clients read
            is signed anew; None: they read the vendor's signatures.
        metadata: Directory of the roles below the upstream; "." for the upstream itself.
        targets: Directory of the targets, likewise.
    """

    trust: Path
    sign: Path | None = None
    metadata: str = "metadata"
    targets: str = "targets"


@dataclass(frozen=True, slots=True)
class ChannelConfig:
    """One upstream source.

    Attributes:
        name: First path segment of its URLs.
        kind: The kind of updater that reads it.
        upstream: An http or https URL, or the absolute path of a local directory.
        poll_ms: How often upstream is asked, > 0.
        keep: Past releases whose bytes are kept besides those in use, >= 1.
        first: What happens to the first snapshot: ``adopt``.
        unknown: What an unknown machine gets: ``refuse``, or ``hold``, the last open release.
        session_idle_ms: A session ends when a machine asked nothing for this long, > 0.
        session_max_ms: A session ends after this long in any case, >= idle.
        apt: What only a channel of this kind has.
        clamav: Likewise.
        rpm: What only a channel of this kind has.
        feeds: Of kind ``suricata``: names of the rule feeds, relative to upstream.
        preflight: A release is looked at before the first machine gets it.
        preflight_command: A program of the operator's that looks at it as well.
        tuf: What only a channel of this kind has.
    """

    name: str
    kind: Kind
    upstream: str = field(repr=False)
    poll_ms: int
    keep: int
    first: str
    unknown: str
    session_idle_ms: int
    session_max_ms: int
    apt: AptConfig | None = None
    clamav: ClamavConfig | None = None
    rpm: RpmConfig | None = None
    feeds: tuple[str, ...] = ()
    preflight: bool = True
    preflight_command: tuple[str, ...] | None = None
    tuf: TufConfig | None = None

    @property
    def traits(self) -> Traits:
        """What the loop needs to know about the clients of this channel."""
        return traits(self.kind, signed=self.is_signed)

    @property
    def is_signed(self) -> bool:
        """Whether clients read what Firedoor has signed with the operator's key."""
        part = self.apt or self.tuf
        return part is not None and part.sign is not None

    def may_lack(self, path: str) -> bool:
        """Whether a release may name a file without its bytes being held."""
        part = self.apt or self.rpm
        if part is None or not part.lazy:
            return False
        name = self.traits.deferrable_package(path).partition(":")[0]
        return bool(name) and not any(fnmatchcase(name, pattern) for pattern in part.eager)

    @property
    def is_lazy(self) -> bool:
        """Whether there may be files that a release names and nobody holds."""
        part = self.apt or self.rpm
        return part is not None and part.lazy

    @property
    def is_preflighted(self) -> bool:
        """Whether anything looks at a release before the first machine gets it."""
        return self.preflight and bool(self.traits.tool or self.preflight_command)

    @property
    def directory(self) -> str | None:
        """The local directory that is the upstream, or None where it is a URL."""
        return self.upstream if self.upstream.startswith("/") else None


@dataclass(frozen=True, slots=True)
class Config:
    """Everything a configuration says. Make one with ``load``, ``compose`` or ``defaults``.

    Attributes:
        data: Absolute path of the directory that holds all state.
        time: The clockwork.
        gate: The gate.
        intake: The intake.
        console: The console.
        policy: The policy that channels and rings start from.
        mirror: How upstreams are read.
        storage: How much may be stored.
        ledger: The record of every decision.
        exploited: The list of exploited vulnerabilities.
        alert: The alert hook.
        preflight: Limits of a preflight.
        channels: In file order.
        rings: In file order, the order in which they claim machines; "everyone" is last.
        policies: The policy of each (channel, ring); see ``policy_for``.
        settings: What was written, and where. Two configurations that say the same are equal,
            wherever it was written.
    """

    data: Path
    time: TimeConfig
    gate: GateConfig
    intake: IntakeConfig
    console: ConsoleConfig
    policy: Policy
    mirror: MirrorConfig
    storage: StorageConfig
    ledger: LedgerConfig
    exploited: ExploitedConfig
    alert: AlertConfig
    preflight: PreflightConfig
    channels: tuple[ChannelConfig, ...]
    rings: tuple[Ring, ...]
    policies: Mapping[tuple[str, str], Policy] = field(repr=False)
    settings: Settings = field(repr=False, compare=False)

    def channel(self, name: str) -> ChannelConfig:
        """The channel of this name.

        Raises:
            NotFound: There is none.
        """
        for channel in self.channels:
            if channel.name == name:
                return channel
        raise _not_found("channel", name, [channel.name for channel in self.channels])

    def ring(self, name: str) -> Ring:
        """The ring of this name.

        Raises:
            NotFound: There is none.
        """
        for ring in self.rings:
            if ring.name == name:
                return ring
        raise _not_found("ring", name, [ring.name for ring in self.rings])

    def policy_for(self, channel: str, ring: str = EVERYONE) -> Policy:
        """The policy of a channel in a ring: the ring overrides the channel, the channel the rest.

        Raises:
            NotFound: There is no such channel or ring.
        """
        self.channel(channel)
        self.ring(ring)
        return self.policies[channel, ring]

    def largest_in_flight(
        self, channel: str, active_machines: Mapping[str, int] | None = None
    ) -> int:
        """The most machines that one release of a channel may put at risk at the same time.

        Args:
            channel: Name of the channel.
            active_machines: Active machines of each ring: more are not at risk in it. Where a
                ring is not named, "auto" counts as the most it can mean.

        Raises:
            NotFound: There is no such channel.
        """

        def budget(ring: Ring) -> int:
            said = self.policy_for(channel, ring.name).budget
            active = (active_machines or {}).get(ring.name)
            if active is None:
                return LARGEST_AUTO_BUDGET if said is None else said
            # Whoever is not there cannot be put at risk, whatever the budget allows.
            return min(active, auto_budget(active) if said is None else said)

        return largest_in_flight(self.rings, budget)


def _not_found(noun: str, name: str, known: list[str]) -> NotFound:
    meant = nearest(name, known)
    hint = f'did you mean "{meant}"?' if meant else f"known: {', '.join(known) or 'none'}"
    return NotFound(f'no {noun} "{name}"', hint=hint)
