"""The doors as OpenMetrics text, so that an existing monitoring can watch them.

Only what is served, what is being decided and the newest release of a channel are exposed: that
keeps the number of series small however long a channel lives.
"""

import re
from collections.abc import Iterator

from firedoor.console.model import ChannelView, ReleaseView
from firedoor.console.reading import ReadModel
from firedoor.core.door import State

MEDIA_TYPE = "application/openmetrics-text; version=1.0.0; charset=utf-8"

_GAUGES = (
    ("firedoor_machines_active", "Machines of the ring that polled in the last 7 days."),
    ("firedoor_machines_admitted", "Machines that were answered from the release."),
    ("firedoor_machines_control", "Machines followed on the previous release."),
    ("firedoor_machines_in_flight", "Admitted machines whose outcome is not known."),
    ("firedoor_machines_harmed", "Admitted machines that came to harm."),
    ("firedoor_budget_machines", "Harm budget of the door."),
    ("firedoor_window_machines", "Slots there are for unproven machines."),
    ("firedoor_harm_upper_ratio", "Upper bound of the excess harm per installed machine."),
)

_SAFE = re.compile(r'[\\"\n]')
_ESCAPED = {"\\": "\\\\", '"': '\\"', "\n": "\\n"}


def exposition(read: ReadModel, *, viewers: int) -> str:
    """Write the metrics of this moment.

    Args:
        read: Where the numbers come from.
        viewers: Event streams open now, count >= 0.
    """
    lines: list[str] = []
    channels = read.channels()
    current = [(channel, view) for channel in channels for view in _current(read, channel)]
    for place, (name, says) in enumerate(_GAUGES):
        lines += _family(name, "gauge", says)
        lines += [
            _sample(name, labels, values[place])
            for _, view in current
            for labels, values in _doors(view)
        ]
    lines += _family("firedoor_door", "stateset", "State of the door.")
    for _, view in current:
        for ring, door in view.door.items():
            for state in State:
                labels = {**_labels(view), "ring": ring, "firedoor_door": state.value}
                lines.append(_sample("firedoor_door", labels, int(door.state is state)))
    lines += _family("firedoor_log_e_harm", "gauge", "Natural log of the evidence of harm.")
    lines += [
        _sample("firedoor_log_e_harm", _labels(view), view.verdict.log_e_harm)
        for _, view in current
    ]
    sync = "firedoor_channel_last_sync_timestamp_seconds"
    lines += _family(sync, "gauge", "Last successful look at the upstream.", unit="seconds")
    lines += [
        _sample(sync, {"channel": channel.name}, channel.last_sync_ms / 1000)
        for channel in channels
        if channel.last_sync_ms is not None
    ]
    failing = "firedoor_channel_failing"
    lines += _family(failing, "gauge", "1 while the last look at the upstream failed.")
    lines += [
        _sample(failing, {"channel": channel.name}, int(bool(channel.last_error)))
        for channel in channels
    ]
    lines += _family("firedoor_ledger_index", "gauge", "Index of the newest ledger entry.")
    lines.append(_sample("firedoor_ledger_index", {}, read.last_index()))
    lines += _family("firedoor_console_viewers", "gauge", "Event streams open now.")
    lines.append(_sample("firedoor_console_viewers", {}, viewers))
    return "\n".join([*lines, "# EOF", ""])


def _current(read: ReadModel, channel: ChannelView) -> Iterator[ReleaseView]:
    # The newest one too: a release that was shut is neither served nor in flight.
    newest = [view.id for view in read.releases(channel.name)[:1]]
    for release in dict.fromkeys((channel.serving, channel.in_flight, *newest)):
        view = None if release is None else read.release(release)
        if view is not None:
            yield view


def _doors(view: ReleaseView) -> Iterator[tuple[dict[str, str], tuple[float, ...]]]:
    for ring, door in view.door.items():
        yield (
            {**_labels(view), "ring": ring},
            (
                door.machines,
                door.admitted,
                door.control,
                door.in_flight,
                door.harmed,
                door.budget,
                door.window,
                door.harm_upper,
            ),
        )


def _labels(view: ReleaseView) -> dict[str, str]:
    return {"channel": view.channel, "release": view.id[:12], "number": str(view.number)}


def _family(name: str, kind: str, says: str, *, unit: str = "") -> list[str]:
    unit_line = [f"# UNIT {name} {unit}"] if unit else []
    return [f"# TYPE {name} {kind}", *unit_line, f"# HELP {name} {says}"]


def _sample(name: str, labels: dict[str, str], value: float) -> str:
    inner = ",".join(
        f'{label}="{_SAFE.sub(lambda found: _ESCAPED[found.group()], text)}"'
        for label, text in labels.items()
    )
    return f"{name}{{{inner}}} {value}" if inner else f"{name} {value}"
