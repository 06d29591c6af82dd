"""OTLP requests, written by the protocol's own classes."""

from collections.abc import Mapping
from typing import Any

from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import (
    ExportLogsServiceRequest,
    ExportLogsServiceResponse,
)
from opentelemetry.proto.common.v1.common_pb2 import AnyValue
from opentelemetry.proto.logs.v1.logs_pb2 import SEVERITY_NUMBER_ERROR

NOW_NS = 1_721_362_140_000_000_000

REPORTING = "Microsoft-Windows-WER-SystemErrorReporting"


def windows(number: int, provider: str, record: int = 1) -> dict[str, Any]:
    """An event as the collector's windowseventlog receiver sends it, the sample of its README."""
    return {
        "channel": "System",
        "computer": "till-17",
        "event_id": {"id": number, "qualifiers": 0},
        "keywords": ["[Classic]"],
        "level": "Error",
        "message": "Something happened.",
        "opcode": "Info",
        "provider": {"event_source": "", "guid": "", "name": provider},
        "record_id": record,
        "system_time": "2024-07-19T04:09:00.898974100Z",
        "task": "",
        "event_data": {"param1": "Spooler"},
    }


def put(value: AnyValue, said: Any) -> None:
    """Write a value as ``AnyValue``."""
    match said:
        case bool():
            value.bool_value = said
        case int():
            value.int_value = said
        case float():
            value.double_value = said
        case bytes():
            value.bytes_value = said
        case str():
            value.string_value = said
        case list():
            value.array_value.SetInParent()
            for each in said:
                put(value.array_value.values.add(), each)
        case _:
            value.kvlist_value.SetInParent()
            for name, each in said.items():
                pair = value.kvlist_value.values.add()
                pair.key = name
                put(pair.value, each)


def request(
    *bodies: Any,
    resource: Mapping[str, Any] | None = None,
    attributes: Mapping[str, Any] | None = None,
    time_ns: int = NOW_NS,
    observed_ns: int = NOW_NS,
    into: ExportLogsServiceRequest | None = None,
) -> ExportLogsServiceRequest:
    """A request of one resource whose records have these bodies."""
    made = ExportLogsServiceRequest() if into is None else into
    logs = made.resource_logs.add()
    for name, said in (resource or {}).items():
        pair = logs.resource.attributes.add()
        pair.key = name
        put(pair.value, said)
    scope = logs.scope_logs.add()
    scope.scope.name = "a-scope"
    for body in bodies:
        one = scope.log_records.add()
        one.time_unix_nano = time_ns
        one.observed_time_unix_nano = observed_ns
        one.severity_number = SEVERITY_NUMBER_ERROR
        one.severity_text = "ERROR"
        put(one.body, body)
        for name, said in (attributes or {}).items():
            pair = one.attributes.add()
            pair.key = name
            put(pair.value, said)
    return made


def rejected(body: bytes) -> tuple[int, str]:
    """What an answer says was not taken: how many records, and why."""
    found = ExportLogsServiceResponse.FromString(body).partial_success
    return found.rejected_log_records, found.error_message
