"""The configuration that osquery is given: what it is to look at, how often.

Queries of what happened are filtered in SQL to the events that matter, and tell each of them
once; what a machine *has* comes whole, as a snapshot, because there absence says something too.
``windows_eventlog`` is asked for the last seven days: what is older says nothing of a release
that is still being watched.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final

LINES_A_SEND: Final = 256
"""Lines that osquery is told to send at once; a request with fewer is its newest."""

PREFIX: Final = "firedoor_"
"""Of the names of our queries."""

UPTIME: Final = f"{PREFIX}uptime"

_SYSTEM: Final = "SELECT cpu_brand, hardware_vendor, hardware_model FROM system_info"
_EVENTLOG: Final = (
    "SELECT datetime, channel, provider_name, eventid, data FROM windows_eventlog"
    " WHERE channel = 'System' AND timestamp = '604800000'"
    " AND eventid IN (41, 1001, 6005, 6008, 7031, 7034)"
    " AND provider_name IN ('Microsoft-Windows-Kernel-Power', 'EventLog',"
    " 'Microsoft-Windows-WER-SystemErrorReporting', 'Service Control Manager')"
)
_CRASHES: Final = (
    "SELECT datetime, path, module, version, exception_code, crash_path FROM windows_crashes"
)

INVENTORY: Final[Mapping[str, tuple[str, str]]] = MappingProxyType(
    {
        "os_version": ("SELECT name, version, build, platform, arch FROM os_version", ""),
        "system_info": (_SYSTEM, ""),
        "kernel_info": ("SELECT version FROM kernel_info", ""),
        "deb_packages": (
            "SELECT name, version, arch FROM deb_packages WHERE status LIKE '% ok installed'",
            "linux",
        ),
        "rpm_packages": (
            "SELECT name, epoch, version, release, arch FROM rpm_packages",
            "linux",
        ),
        "programs": ("SELECT name, version, publisher FROM programs", "windows"),
        "patches": ("SELECT hotfix_id FROM patches", "windows"),
        "drivers": (
            "SELECT DISTINCT device_name, provider, version, date FROM drivers",
            "windows",
        ),
    }
)
"""Tables of the inventory: the query, and the platform it is for (empty: all)."""

_INVENTORY_S: Final = 6 * 3_600
_SYSTEM_S: Final = 3_600
_SMALL: Final = frozenset({"os_version", "system_info", "kernel_info"})

_EVENTS: Final = {"firedoor_eventlog": (_EVENTLOG, 60), "firedoor_crashes": (_CRASHES, 300)}


def query_of(table: str) -> str:
    """Name of the query that reads a table of the inventory."""
    return f"{PREFIX}{table}"


def configuration(heartbeat_s: float) -> dict[str, Any]:
    """What ``config`` answers.

    Args:
        heartbeat_s: How often a sign of life is expected, seconds.
    """
    schedule: dict[str, Any] = {
        UPTIME: {
            "query": "SELECT total_seconds FROM uptime",
            "interval": max(int(heartbeat_s), 1),
            "snapshot": True,
        }
    }
    for name, (query, interval) in _EVENTS.items():
        schedule[name] = {
            "query": query,
            "interval": interval,
            "removed": False,
            "platform": "windows",
        }
    for table, (query, platform) in INVENTORY.items():
        schedule[query_of(table)] = {
            "query": query,
            "interval": _SYSTEM_S if table in _SMALL else _INVENTORY_S,
            "snapshot": True,
            **({"platform": platform} if platform else {}),
        }
    return {
        "options": {"logger_tls_max_lines": LINES_A_SEND, "logger_tls_compress": True},
        "schedule": schedule,
    }


def questions() -> dict[str, str]:
    """What ``distributed/read`` answers to a machine whose inventory is not known yet.

    Of another platform's tables none exists: such a query fails, and its status says so.
    """
    return {query_of(table): query for table, (query, _platform) in INVENTORY.items()}
