"""Ready-made configuration for the clients of a machine, as one shell script.

The script is run once on the machine, by root. Tokens go into files that only root can read;
a path token is for clients that can do nothing better (decisions.md 10).
"""

import base64
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from shlex import quote
from typing import Final
from urllib.parse import quote as quote_url
from urllib.parse import urlsplit

from firedoor.config import RpmConfig
from firedoor.core.errors import BadInput
from firedoor.formats.clamav import is_signed


@dataclass(frozen=True, slots=True)
class Target:
    """Where a machine finds Firedoor.

    Attributes:
        gate: URL of the gate, without a path.
        intake: URL of the intake, without a path.
        channel: Channel that the examples name.
        keyrings: Files with keys that a machine may not have, and their bytes.
        databases: Of every channel of ClamAV databases the names that machines ask for.
        ca: PEM of the authority that vouches for the server, where machines do not know it.
        roots: Of every channel of a TUF repository the root that its clients begin with.
        suites: Of every channel of a Debian repository that has a release, what the ``Release``
            of each suite says.

    Raises:
        BadInput: A URL is none that a client could use.
    """

    gate: str
    intake: str
    channel: str
    keyrings: Mapping[Path, bytes] = field(default_factory=dict)
    databases: Mapping[str, Sequence[str]] = field(default_factory=dict)
    ca: str = ""
    roots: Mapping[str, bytes] = field(default_factory=dict)
    suites: Mapping[str, Sequence[Mapping[str, str]]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Refuse what would break the script, before there is a token to put into it."""
        host_of(self.gate)
        host_of(self.intake)


@dataclass(frozen=True, slots=True)
class Own:
    """A machine's own certificate and key, PEM; both empty where it has none."""

    certificate: str = ""
    key: str = field(default="", repr=False)


_NONE: Final = Own()


def files_client(
    name: str,
    read: str,
    signal: str,
    target: Target,
    heartbeat_s: float,
    *,
    own: Own = _NONE,
) -> str:
    """The script for a machine that reads a channel of kind ``files``.

    It writes credentials for curl and wget and a program that sends one heartbeat, and shows,
    as comments, how a file is read.

    Args:
        name: Name of the machine.
        read: Its token for the gate.
        signal: Its token for the intake.
        target: Where Firedoor is.
        heartbeat_s: How often a heartbeat is expected, seconds.
        own: Its certificate, if it has one.
    """
    beside = curl_proof(target, own, '"${0%/*}"')
    there = curl_proof(target, own, "/etc/firedoor")
    example = f"{quote(f'{target.gate}/{target.channel}/')}FILE"
    return f"""\
#!/bin/sh
# Firedoor, machine {name}. Run once on that machine, as root; it holds the machine's tokens.
set -eu
etc="${{FIREDOOR_ETC:-/etc/firedoor}}"
umask 077
mkdir -p "$etc"

cat >"$etc/gate.netrc" <<'END'
machine {host_of(target.gate)} login {name} password {read}
END
cat >"$etc/gate.wgetrc" <<'END'
auth_no_challenge = on
user = {name}
password = {read}
END
cat >"$etc/intake.netrc" <<'END'
machine {host_of(target.intake)} login {name} password {signal}
END
{_proof(target, own)}
cat >"$etc/heartbeat" <<'END'
#!/bin/sh
# A sign of life; run it every {heartbeat_s:g} s, from the timer beside it or a loop.
printf '{{"machine": "{name}", "time": "%s", "kind": "heartbeat"}}\\n' \\
  "$(date -u +%Y-%m-%dT%H:%M:%SZ)" |
  curl -fsS -o /dev/null --netrc-file "${{0%/*}}/intake.netrc"{beside} \\
    -H 'Content-Type: application/x-ndjson' --data-binary @- {quote(target.intake)}/v1/signals
END
chmod 700 "$etc/heartbeat"

cat >"$etc/firedoor-heartbeat.service" <<END
[Unit]
Description=Sign of life for Firedoor
Wants=network-online.target
After=network-online.target

[Service]
Type=oneshot
ExecStart="$etc/heartbeat"
END
cat >"$etc/firedoor-heartbeat.timer" <<'END'
[Unit]
Description=Signs of life for Firedoor

[Timer]
OnBootSec=0
OnUnitActiveSec={heartbeat_s * 1000:.0f}ms
AccuracySec=100ms

[Install]
WantedBy=timers.target
END

# To send heartbeats from now on (once they have been heard, their absence counts):
# systemctl link /etc/firedoor/firedoor-heartbeat.service
# systemctl enable --now /etc/firedoor/firedoor-heartbeat.timer

# Read a file, with the one or the other:
#   curl -fsSO --netrc-file /etc/firedoor/gate.netrc{there} {example}
#   WGETRC=/etc/firedoor/gate.wgetrc wget {example}
# A client that can send no credentials reads the same below (its logs then hold the token):
#   {target.gate}/m/{read}/{target.channel}/FILE
"""


def curl_proof(target: Target, own: Own, folder: str) -> str:
    """Options that make curl believe the server, and show the machine's certificate.

    Args:
        target: Where Firedoor is.
        own: The machine's certificate, if it has one.
        folder: Where the script has put both, as the shell is to read it.
    """
    believed = f" --cacert {folder}/ca.pem" if target.ca else ""
    return believed + (
        f" --cert {folder}/machine.pem --key {folder}/machine.key" if own.key else ""
    )


def host_of(url: str) -> str:
    """Host of a server's URL.

    Raises:
        BadInput: No client could use it.
    """
    parts = urlsplit(url)
    usable = parts.scheme in ("http", "https") and url.isprintable() and " " not in url
    host = parts.hostname
    if not host or not usable:
        raise BadInput(f"{url!r} is no URL of a server", hint="such as http://gate.example:8080")
    return host


def _proof(target: Target, own: Own) -> str:
    """The lines that write certificates: whom to believe, and what the machine shows."""
    lines = ""
    if target.ca:
        lines += f"""
cat >"$etc/ca.pem" <<'END'
{target.ca.strip()}
END
echo "ca_certificate = $etc/ca.pem" >>"$etc/gate.wgetrc"
"""
    if own.key:
        lines += f"""
cat >"$etc/machine.pem" <<'END'
{own.certificate.strip()}
END
cat >"$etc/machine.key" <<'END'
{own.key.strip()}
END
printf 'certificate = %s\\nprivate_key = %s\\n' "$etc/machine.pem" "$etc/machine.key" \\
  >>"$etc/gate.wgetrc"
"""
    return lines


def clamav_client(name: str, read: str, target: Target) -> str:
    """The lines of the script for channels of kind ``clamav``: what freshclam asks for, and where.

    freshclam goes back only where it is told every address itself, and a token stands in these:
    nobody but freshclam may read its configuration.

    Args:
        name: Name of the machine.
        read: Its token for the gate.
        target: Where Firedoor is, and the databases of each channel.
    """
    scheme, _, host = target.gate.partition("://")
    # A name with a colon cannot log in with Basic.
    basic = f"{scheme}://{quote_url(name, safe='')}:{read}@{host}"
    base = f"{target.gate}/m/{read}" if ":" in name else basic
    known = {channel: names for channel, names in target.databases.items() if names}
    paths = [f"{channel}/{quote_url(path)}" for channel, names in known.items() for path in names]
    # freshclam 1.4 deletes .cvd files that it was told of after others, or crashes: it forgets
    # how many others there were (perform_database_update).
    paths.sort(key=lambda path: not is_signed(path))
    asked = "".join(f"DatabaseCustomURL {base}/{path}\n" for path in paths)
    empty = "".join(
        f"# Channel {channel} has no databases yet: when it has, run machine enroll {quote(name)} "
        "--rotate.\n"
        for channel in target.databases
        if channel not in known
    )
    if not known:
        return f"\n{empty}"
    return f"""
# freshclam, {" and ".join(f"channel {channel}" for channel in known)}. Whatever else it was told to
# fetch would go past the gate: it is taken out, told, and kept in freshclam.conf.before-firedoor.
{empty}\
clamav="${{FIREDOOR_CLAMAV:-/etc/clamav}}"
conf="$clamav/freshclam.conf"
source='^[[:space:]]*(DNSDatabaseInfo|DatabaseMirror|PrivateMirror|ExcludeDatabase|ExtraDatabase'
source="$source|DatabaseCustomURL|HTTPUserAgent)[[:space:]]"
own='DNSDatabaseInfo no
DatabaseMirror http://127.0.0.1:9
ExcludeDatabase main
ExcludeDatabase daily
ExcludeDatabase bytecode'
mkdir -p "$clamav"
[ -e "$conf" ] || : >"$conf"
[ -e "$conf.before-firedoor" ] || cp -p "$conf" "$conf.before-firedoor"
grep -E "$source" "$conf" | grep -v -x -F "$own" | grep -v -F {quote(f"/{host}/")} |
  grep -v -F {quote(f"@{host}/")} | sed 's/^/taken out: /' >&2 || true
grep -v -E "$source" "$conf" >"$conf.new" || true
cat >>"$conf.new" <<END
$own
{asked}END
chown --reference="$conf" "$conf.new"
chmod 400 "$conf.new"
mv "$conf.new" "$conf"
"""


def rpm_client(name: str, read: str, target: Target, channel: str, part: RpmConfig) -> str:
    """The lines of the script for a channel of kind ``rpm``: a ``.repo`` file and keys.

    Args:
        name: Name of the machine.
        read: Its token for the gate.
        target: Where Firedoor is.
        channel: Name of the channel.
        part: Whose keys are believed.
    """
    places = {
        f"$dnf/pki/rpm-gpg/RPM-GPG-KEY-firedoor-{channel}-{number}": target.keyrings[file]
        for number, file in enumerate(part.trust)
        if file in target.keyrings
    }
    keys = "".join(key_file(place, key) for place, key in places.items())
    known = " ".join(f"file://{place}" for place in places)
    return f"""
# dnf, channel {channel}. Whatever else in yum.repos.d has the same packages goes past the gate:
# take it away. {_OF_KEYS if known else _OF_NO_KEYS}
dnf="${{FIREDOOR_DNF:-/etc}}"
mkdir -p "$dnf/yum.repos.d" "$dnf/pki/rpm-gpg"
{keys}\
cat >"$dnf/yum.repos.d/firedoor-{channel}.repo" <<END
[firedoor-{channel}]
name={channel}, behind Firedoor
baseurl={target.gate}/{channel}/
username={name}
password={read}
gpgcheck=1
repo_gpgcheck={int(bool(known))}
gpgkey={known}
metadata_expire=15m
deltarpm=0
END
# Upgrades that also go back when a release is contained, from a timer or by hand:
#   dnf -y distro-sync
"""


_OF_KEYS: Final = """Where the vendor signs the repository and not each of its
# packages, write gpgcheck=0: every package has its checksum in what is signed."""

_OF_NO_KEYS: Final = """The vendor's packages have to be signed by a key that
# this machine knows: name it as gpgkey, or import it."""


def suricata_client(
    name: str, read: str, target: Target, channel: str, feeds: Sequence[str]
) -> str:
    """The lines of the script for a channel of kind ``suricata``: a source for each feed.

    Args:
        name: Name of the machine.
        read: Its token for the gate.
        target: Where Firedoor is.
        channel: Name of the channel.
        feeds: Names of its feeds.
    """
    basic = base64.b64encode(f"{name}:{read}".encode()).decode()
    sources = "".join(
        f"""\
cat >"$sources/firedoor-{channel}-{number}.yaml" <<'END'
source: firedoor-{channel}-{number}
url: {target.gate}/{channel}/{_escaped(feed)}
http-header: "Authorization: Basic {basic}"
checksum: true
END
"""
        for number, feed in enumerate(feeds)
    )
    return f"""
# suricata-update, channel {channel}. Other sources go past the gate: look at them with
# suricata-update list-enabled-sources, and disable those that are served by this channel.
sources="${{FIREDOOR_SURICATA:-/var/lib/suricata}}/update/sources"
mkdir -p "$sources"
{sources}\
# Run it so, once a day or more often. Without --fail a first run that is served nothing ends
# well, and without these rules:
#   suricata-update --fail
"""


def tuf_client(read: str, target: Target, channel: str) -> str:
    """The lines of the script for a channel of kind ``tuf``: the trusted root, and addresses.

    Args:
        read: The machine's token for the gate.
        target: Where Firedoor is, and the root of the channel.
        channel: Name of the channel.
    """
    base = f"{target.gate}/m/{read}/{channel}"
    believe = ""
    if target.ca:
        believe = 'cp "$etc/ca.pem" "$tuf/ca.pem"\nchmod 644 "$tuf/ca.pem"\n'
        believe += "# The program has to believe the gate: SSL_CERT_FILE=/etc/firedoor-tuf/ca.pem\n"
    return f"""
# TUF, channel {channel}. Programs bring their own client and settings: give them this root in
# place of the vendor's where it is another one, and these addresses.
tuf="${{FIREDOOR_TUF:-/etc/firedoor-tuf}}"
mkdir -p "$tuf"
chmod 755 "$tuf"
{key_file(f"$tuf/{channel}.root.json", target.roots[channel])}\
cat >"$tuf/{channel}.json" <<END
{{
  "metadata_base_url": "{base}/metadata/",
  "target_base_url": "{base}/targets/",
  "root": "$tuf/{channel}.root.json"
}}
END
# A token stands in the addresses: only root may read the file. For a program of another user:
#   chgrp GROUP /etc/firedoor-tuf/{channel}.json; chmod 640 /etc/firedoor-tuf/{channel}.json
{believe}\
# With python-tuf:
#   said = json.load(open("/etc/firedoor-tuf/{channel}.json"))
#   updater = tuf.ngclient.Updater(ROLES, said["metadata_base_url"], TARGETS,
#       said["target_base_url"], bootstrap=open(said["root"], "rb").read())
"""


def _escaped(path: str) -> str:
    # suricata-update formats the address: what is escaped once has to be escaped for that, too.
    return quote_url(path).replace("%", "%%")


def key_file(place: str, key: bytes) -> str:
    """Lines that write a key; whoever runs the script may expand variables in ``place``."""
    text = "\n".join(textwrap.wrap(base64.b64encode(key).decode(), 76))
    return f'base64 -d >"{place}" <<\'END\'\n{text}\nEND\nchmod 644 "{place}"\n'
