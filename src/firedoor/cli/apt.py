"""What ``machine enroll`` writes for apt and unattended-upgrades."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

from firedoor.cli.snippets import Own, Target, host_of, key_file
from firedoor.config import AptConfig


@dataclass(frozen=True, slots=True)
class Source:
    """What a machine's apt is told of a channel, in whatever form.

    Attributes:
        url: Of the repository, at the gate.
        suites: Directories below ``dists/``.
        components: Their names.
        architectures: Their names, without ``all``; empty for the machine's own.
        keys: Files with the keys that may sign, as the script's shell is to read them.
    """

    url: str
    suites: tuple[str, ...]
    components: tuple[str, ...]
    architectures: tuple[str, ...]
    keys: tuple[str, ...]

    def stanza(self) -> str:
        """In the form of deb822, for a file ``*.sources``."""
        own = f"Architectures: {' '.join(self.architectures)}\n" if self.architectures else ""
        return f"""\
Types: deb
URIs: {self.url}
Suites: {" ".join(self.suites)}
Components: {" ".join(self.components)}
{own}Signed-By: {" ".join(self.keys)}
"""

    def lines(self) -> str:
        """In the form of one line for each suite, for a file ``*.list``."""
        own = f" arch={','.join(self.architectures)}" if self.architectures else ""
        options = f"[signed-by={','.join(self.keys)}{own}]"
        components = " ".join(self.components)
        return "".join(f"deb {options} {self.url} {suite} {components}\n" for suite in self.suites)


def apt_tls(target: Target, own: Own) -> str:
    """The lines of the script that make apt believe the gate, and show the machine's certificate.

    apt fetches as a user of its own, which has to read them and nobody else the key.
    """
    host = host_of(target.gate)
    said, files = "", ""
    if target.ca:
        files += 'cp "$etc/ca.pem" "$apt/firedoor/ca.pem"\n'
        said += f'Acquire::https::{host}::CAInfo "$apt/firedoor/ca.pem";\n'
    if own.key:
        files += 'cp "$etc/machine.pem" "$etc/machine.key" "$apt/firedoor/"\n'
        said += f'Acquire::https::{host}::SslCert "$apt/firedoor/machine.pem";\n'
        said += f'Acquire::https::{host}::SslKey "$apt/firedoor/machine.key";\n'
    if not said:
        return ""
    return f"""
# apt, TLS.
apt="${{FIREDOOR_APT:-/etc/apt}}"
mkdir -p "$apt/firedoor" "$apt/apt.conf.d"
{files}chmod 755 "$apt/firedoor"
chmod 644 "$apt/firedoor/"*.pem
if [ -e "$apt/firedoor/machine.key" ] && id _apt >/dev/null 2>&1; then
  chown _apt "$apt/firedoor/machine.key"
fi
cat >"$apt/apt.conf.d/60firedoor-tls" <<END
{said}END
chmod 644 "$apt/apt.conf.d/60firedoor-tls"
"""


def apt_client(
    name: str,
    read: str,
    target: Target,
    channel: str,
    part: AptConfig,
    *,
    one_line: bool = False,
) -> str:
    """The lines of the script for a channel of kind ``apt``: sources, credentials and keys.

    Args:
        name: Name of the machine.
        read: Its token for the gate.
        target: Where Firedoor is.
        channel: Name of the channel.
        part: What of the repository is mirrored, and whose keys are believed.
        one_line: Sources are lines as in sources.list, and no stanza of deb822.
    """
    keys, lines = [], []
    for number, file in enumerate(part.trust if part.sign is None else (part.sign,)):
        if file in target.keyrings:
            place = f"$apt/keyrings/firedoor-{channel}-{number}.gpg"
            lines.append(key_file(place, target.keyrings[file]))
            keys.append(place)
        else:
            keys.append(str(file))
    source = Source(
        url=f"{target.gate}/{channel}",
        suites=part.suites,
        components=part.components or ("main",),
        architectures=tuple(each for each in part.architectures if each != "all"),
        keys=tuple(keys),
    )
    form, other = ("list", "sources") if one_line else ("sources", "list")
    signed = "".join(lines)
    return (
        f"""
# apt, channel {channel}. Whatever else in sources.list has the same suites goes past the gate:
# take it away.
apt="${{FIREDOOR_APT:-/etc/apt}}"
mkdir -p "$apt/keyrings" "$apt/auth.conf.d" "$apt/sources.list.d"
{signed}\
cat >"$apt/auth.conf.d/firedoor-{channel}.conf" <<'END'
machine {target.gate}/{channel} login {name} password {read}
END
rm -f "$apt/sources.list.d/firedoor-{channel}.{other}"
cat >"$apt/sources.list.d/firedoor-{channel}.{form}" <<END
{source.lines() if one_line else source.stanza()}END
chmod 644 "$apt/sources.list.d/firedoor-{channel}.{form}"
"""
        + _unattended(target, channel)
        + ("" if part.sign is None else _going_back(target, channel))
    )


def origin_patterns(gate: str, suites: tuple[Mapping[str, str], ...]) -> list[str]:
    """Entries of ``Unattended-Upgrade::Origins-Pattern`` for what a gate serves of a repository.

    Each names the gate, and what the ``Release`` of a suite says of itself. The codename goes
    before the suite: apt lets a vendor change the latter (stable becomes oldstable).

    Args:
        gate: URL of the gate.
        suites: Fields of each ``Release``, by name in lower case; none where nobody knows yet:
            then an entry holds for whatever comes from the gate.

    Source: match_whitelist_string of unattended-upgrades 2.9; apt.conf(5).
    """
    # As the sources have it: letters are compared.
    host = host_of(gate)
    at = gate.lower().index(host, len(urlsplit(gate).scheme))
    site = _said("site", gate[at : at + len(host)])
    found = []
    for fields in suites or ({},):
        last = "codename" if fields.get("codename") else "suite"
        said = [_said(key, fields[key]) for key in ("origin", "label", last) if fields.get(key)]
        found.append(",".join([site, *said]))
    return list(dict.fromkeys(found))


def _said(key: str, value: str) -> str:
    """One condition of an entry.

    A comma and what fnmatch knows can be escaped. ``?`` is one character, whichever: it stands for
    those that apt.conf, string.Template or the split at ``=`` would take for theirs.
    """
    signs = (_ESCAPED.get(each, each) if each.isprintable() else "?" for each in value)
    return f"{key}={''.join(signs)}"


_ESCAPED: Final = {
    ",": "\\,",
    **{each: f"[{each}]" for each in "*?["},
    **dict.fromkeys('="$%\\', "?"),
}


def _unattended(target: Target, channel: str) -> str:
    """What makes unattended-upgrades take the packages of a channel."""
    patterns = origin_patterns(target.gate, tuple(target.suites.get(channel, ())))
    entries = "".join(f'  "{each}";\n' for each in patterns)
    return f"""\
mkdir -p "$apt/apt.conf.d"
cat >"$apt/apt.conf.d/61firedoor-{channel}.conf" <<'END'
// unattended-upgrades takes only packages of the origins that it is told, by itself those of
// Debian alone. These are of channel {channel}: {_WHOLE if channel in target.suites else _UNKNOWN}
Unattended-Upgrade::Origins-Pattern {{
{entries}}};
END
chmod 644 "$apt/apt.conf.d/61firedoor-{channel}.conf"
"""


_WHOLE: Final = """what the gate serves, by the names that the
// vendor's Release files have. What comes to this machine past the gate is not taken for them."""

_UNKNOWN: Final = """nothing was mirrored yet when this was
// written, so whatever comes from the gate. Enrol with --rotate to have the vendor's names too."""


def _going_back(target: Target, channel: str) -> str:
    """What lets apt go back when a release is contained: only where the gate signs."""
    return f"""\
mkdir -p "$apt/preferences.d" "$apt/apt.conf.d"
# apt passes over a file whose name has a dot, unless what stands behind it is "pref".
rm -f "$apt/preferences.d/firedoor-{channel}"
cat >"$apt/preferences.d/firedoor-{channel}.pref" <<'END'
# What the gate offers is what this machine is to have, also where it is older.
Package: *
Pin: origin "{host_of(target.gate)}"
Pin-Priority: 1001
END
cat >"$apt/apt.conf.d/60firedoor" <<'END'
// Both refuse to install what is older than what they have. Here that is a release taken back.
APT::Get::allow-downgrades "true";
Unattended-Upgrade::Allow-downgrade "true";
END
chmod 644 "$apt/preferences.d/firedoor-{channel}.pref" "$apt/apt.conf.d/60firedoor"
"""
