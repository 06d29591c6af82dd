"""The early-boot rescue of a machine, as a part of the script of ``machine enroll``.

No server reaches a machine that boots again and again. Units of its own count its boots; when
some in a row did not last, the machine takes what the gate offers before it starts its services.

Source: README.md section 4 of the design; clients.md 0.9.
"""

import string
from collections.abc import Sequence
from shlex import quote
from typing import Final

from firedoor.cli.snippets import Own, Target, curl_proof, host_of

ATTRIBUTE: Final = ("rescue", "yes")
"""Set at enrolment, so that ``machine list`` tells which machines have the units."""

# What apt escapes in the name of a file that it keeps for a URL (apt 2.6, URItoFileName).
_ESCAPED: Final = '\\|{}[]<>"^~_=!@#$%^&*'


def rescue_client(name: str, target: Target, channels: Sequence[str], own: Own) -> str:
    """The lines of the script that write and enable the units of the rescue.

    Args:
        name: Name of the machine.
        target: Where Firedoor is.
        channels: Names of its channels of kind ``apt``, one at least.
        own: Its certificate, if it has one.
    """
    lists = " ".join(
        f'"$lists"{quote(_kept_as(f"{target.gate}/{each}") + "_dists_")}*' for each in channels
    )
    return _SCRIPT.substitute(
        name=name,
        gate=quote(f"{target.gate}/"),
        intake=quote(f"{target.intake}/v1/signals"),
        host=quote(host_of(target.gate)),
        proof=curl_proof(target, own, '"$etc"'),
        # In whichever form this machine has them; it may be enrolled again with the other.
        sources=" ".join(
            f'"$sources/firedoor-{each}.{form}"'
            for each in channels
            for form in ("sources", "list")
        ),
        lists=lists,
    )


def _kept_as(url: str) -> str:
    """How the names of apt's files for what is below a URL begin."""
    bare = url.partition("://")[2].replace("[", "").replace("]", "")
    escaped = "".join(f"%{ord(c):02x}" if c in _ESCAPED else c for c in bare)
    return escaped.replace("/", "_")


class _Template(string.Template):
    """Text with ``@name`` to fill in: the dollars are the shell's."""

    delimiter = "@"


_SCRIPT: Final = _Template("""
# Rescue, for when this machine boots again and again. It does nothing else than count while all
# is well; to do without it: systemctl disable firedoor-boots.service firedoor-settled.timer
cat >"$etc/rescue" <<'END'
#!/bin/sh
# Called by the units beside it:
#   boot     early in every boot: counts it, and starts the rescue at the third in a row that
#            may not last
#   heal     the rescue, before other services: tells Firedoor, and takes what the gate offers
#            now, be it older
#   settled  this boot has lasted ten minutes: the count begins again
set -u
etc="${0%/*}"
state="${STATE_DIRECTORY:-/var/lib/firedoor}"
run="${RUNTIME_DIRECTORY:-/run/firedoor-rescue}"
boots=$(cat "$state/boots" 2>/dev/null)
case $boots in '' | *[!0-9]*) boots=0 ;; esac

boot() {
  boots=$((boots + 1))
  # On the disk before what may reset the machine.
  echo "$boots" >"$state/boots.new" && sync "$state/boots.new" &&
    mv "$state/boots.new" "$state/boots" && sync "$state"
  [ "$boots" -lt 3 ] || systemctl --no-block isolate firedoor-rescue.target
}

heal() {
  echo "boot $boots in a row that may not last: asking the gate what this machine is to have"
  for each in networking systemd-networkd NetworkManager; do
    systemctl -q is-enabled "$each" 2>/dev/null && systemctl --no-block start "$each"
  done
  # Any answer will do. Without one for a minute the boot goes on.
  curl -s -o /dev/null -m 10@proof --retry 60 --retry-delay 1 --retry-max-time 60 \\
    --retry-all-errors @gate || { echo 'the gate does not answer: booting on'; return; }
  printf '{"machine": "@name", "time": "%s", "kind": "boot-unclean", "id": "%s"}\\n' \\
    "$(date -u +%Y-%m-%dT%H:%M:%SZ)" "$(cat /proc/sys/kernel/random/boot_id)" |
    curl -fsS -o /dev/null -m 10 --netrc-file "$etc/intake.netrc"@proof \\
      -H 'Content-Type: application/x-ndjson' --data-binary @@- @intake

  export LC_ALL=C DEBIAN_FRONTEND=noninteractive
  eval "$(apt-config shell lists Dir::State::Lists/d sources Dir::Etc::SourceParts/d \\
    pins Dir::Etc::PreferencesParts/d status Dir::State::status/f)"
  mkdir -p "$run/sources" "$run/pins"
  for each in @sources; do [ ! -e "$each" ] || ln -sf "$each" "$run/sources/"; done
  for each in "$pins"/*; do [ ! -e "$each" ] || ln -sf "$each" "$run/pins/"; done
  set -- -y -o Dir::Etc::SourceList=/dev/null -o "Dir::Etc::SourceParts=$run/sources" \\
    -o "Dir::Etc::PreferencesParts=$run/pins" -o APT::Get::List-Cleanup=false \\
    -o APT::Get::Upgrade-Allow-New=true -o APT::Get::allow-downgrades=true \\
    -o DPkg::Options::=--force-confold -o DPkg::Lock::Timeout=60
  # What some source has may go back once none has it; what was put in by hand may not.
  installed() {
    apt list --installed 2>/dev/null |
      sed -n "/,local\\]/$1 s|^\\([^/]*\\)/[^ ]* \\([^ ]*\\) .*|\\1 \\2|p"
  }
  installed '!' >>"$state/offered"
  # apt does not take an index that is older than the one it has: it is to forget that.
  rm -f @lists
  timeout 300 apt-get "$@@" update || { echo 'no index from the gate: booting on'; return; }
  installed '' | grep -x -F -f "$state/offered" | while read -r each _; do
    printf 'Package: %s\\nPin: origin "%s"\\nPin-Priority: 1001\\n\\n' "$each" @host
  done >"$run/pins/firedoor-rescue"
  # Where nothing is to change, nothing is touched: apt would configure what dpkg had to leave.
  apt-get "$@@" --simulate upgrade | grep -q '^Inst ' ||
    { echo 'the gate offers what is installed: booting on'; return; }
  # A reset in the middle of an installation leaves notes, and apt waits until dpkg has read them.
  dpkg --admindir="${status%/*}" --set-selections </dev/null
  timeout 300 apt-get "$@@" --download-only upgrade &&
    timeout 600 apt-get "$@@" --no-download upgrade ||
    { echo 'apt did not get through: booting on'; return; }
  # Or a unit that has just gone would be started with the rest.
  systemctl daemon-reload
  echo 'this machine has what the gate offers: booting on'
}

settled() {
  rm -f "$state/boots" "$state/offered"
}

case ${1-} in
boot | heal | settled) "$1" ;;
*) echo "usage: $0 boot|heal|settled" >&2 && exit 2 ;;
esac
END
chmod 700 "$etc/rescue"

cat >"$etc/firedoor-boots.service" <<END
[Unit]
Description=Count the boots that may not last
DefaultDependencies=no
ConditionKernelCommandLine=!firedoor.rescue=no
RequiresMountsFor=$etc
After=local-fs.target
Before=sysinit.target shutdown.target
Conflicts=shutdown.target

[Service]
Type=oneshot
StateDirectory=firedoor
ExecStart="$etc/rescue" boot
TimeoutStartSec=10s

[Install]
WantedBy=sysinit.target
END
cat >"$etc/firedoor-rescue.target" <<'END'
[Unit]
Description=Rescue by Firedoor
Requires=sysinit.target
After=sysinit.target
Wants=firedoor-rescue.service
AllowIsolate=yes
END
cat >"$etc/firedoor-rescue.service" <<END
[Unit]
Description=Take what the gate offers, before the services start

[Service]
Type=oneshot
StateDirectory=firedoor
RuntimeDirectory=firedoor-rescue
ExecStart="$etc/rescue" heal
ExecStopPost=systemctl --no-block start default.target
TimeoutStartSec=25min
StandardOutput=journal+console
END
cat >"$etc/firedoor-settled.service" <<END
[Unit]
Description=Note that this boot has lasted

[Service]
Type=oneshot
StateDirectory=firedoor
ExecStart="$etc/rescue" settled
END
cat >"$etc/firedoor-settled.timer" <<'END'
[Unit]
Description=Note that this boot has lasted

[Timer]
OnActiveSec=10min

[Install]
WantedBy=timers.target
END
chmod 644 "$etc"/firedoor-boots.* "$etc"/firedoor-rescue.* "$etc"/firedoor-settled.*
# Elsewhere it is a trial; SYSTEMD_OFFLINE is for the root of a machine that is being made.
reads="${SYSTEMD_OFFLINE-}"
[ ! -d /run/systemd/system ] || reads=1
[ "$etc" = /etc/firedoor ] || reads=''
if [ -n "$reads" ]; then
  systemctl link "$etc/firedoor-rescue.target" "$etc/firedoor-rescue.service" \\
    "$etc/firedoor-settled.service"
  systemctl enable "$etc/firedoor-boots.service" "$etc/firedoor-settled.timer"
else
  echo "no systemd reads $etc: the units of the rescue are not enabled" >&2
fi
""")
