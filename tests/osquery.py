"""Requests of osquery, built as its own sources build them, and those recorded in tests/data."""

import json
from datetime import UTC, datetime
from pathlib import Path

RECORDED = Path(__file__).parent / "data" / "osquery"

BUGCHECK = {
    "channel": "System",
    "provider_name": "Microsoft-Windows-WER-SystemErrorReporting",
    "eventid": "1001",
    "data": '{"EventData":{"param1":"0x00000050"}}',
}


def event(columns, *, at, host="till-17", query="firedoor_eventlog", action="added"):
    """A line of a differential query: serializeQueryLogItemAsEvents in osquery/core/query.cpp."""
    own = {"datetime": f"{datetime.fromtimestamp(at, UTC):%Y-%m-%dT%H:%M:%S}.1234567Z", **columns}
    return {**_common(query, host, at), "columns": own, "action": action}


def snapshot(query, rows, *, at, host="till-17"):
    """A line of a snapshot query: serializeQueryLogItem in osquery/core/query.cpp."""
    return {"snapshot": rows, "action": "snapshot", **_common(query, host, at)}


def lines(name):
    """Lines that are recorded under a name."""
    return json.loads((RECORDED / f"{name}.json").read_text())


def _common(query, host, at):
    return {
        "name": query,
        "hostIdentifier": host,
        "calendarTime": f"{datetime.fromtimestamp(at, UTC):%a %b %e %H:%M:%S %Y UTC}",
        "unixTime": at,
        "epoch": 0,
        "counter": 0,
        "numerics": False,
    }


def believed(status, body):
    """Whether osquery takes an answer for a success, and so deletes what it has sent.

    TLSRequestHelper::go in osquery/remote/utility.h and JSONSerializer::deserialize: the status is
    not looked at, and an empty body will do.
    """
    del status
    if not body:
        return True
    try:
        found = json.loads(body)
    except ValueError:
        return False
    return not found.get("node_invalid", False) and "error" not in found
