"""Laws of reading OTLP: the protocol's own classes say the same, and no bytes do harm."""

import json
import re

import msgspec
import pytest
from google.protobuf.json_format import MessageToDict
from google.protobuf.message import DecodeError
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from tests.otlp import REPORTING, request, windows

from firedoor.config.definitions import shipped
from firedoor.core.definition import Condition, Definition, Definitions, LogSource, first_fit
from firedoor.core.errors import Rejected
from firedoor.core.signal import SignalKind
from firedoor.formats import otlp, otlp_json
from firedoor.formats.otlp import Wanted
from firedoor.formats.sieve import Sieve, runs

NAMES = st.sampled_from(["a", "b", "a.b", "host.name", "event_id", "größe"])
SCALARS = st.one_of(
    st.text(max_size=20),
    st.booleans(),
    st.integers(-(2**63), 2**63 - 1),
    st.floats(allow_nan=False, allow_infinity=False),
    st.binary(max_size=8),
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=3),
    max_leaves=8,
)
TIMES = st.integers(0, 2**64 - 1)
DAMAGE = st.lists(st.tuples(st.integers(0, 400), st.integers(0, 255)), min_size=1, max_size=6)


def shown(value):
    match value:
        case bool():
            return "true" if value else "false"
        case bytes():
            return value.decode("utf-8", "replace")
        case _:
            return str(value)


def flat(path, value):
    match value:
        case dict():
            return {
                name: said
                for key, inner in value.items()
                for name, said in flat(f"{path}.{key}", inner).items()
            }
        case list():
            return {
                name: said
                for at, inner in enumerate(value)
                for name, said in flat(f"{path}.{at}", inner).items()
            }
        case _:
            return {path: shown(value)}


def everything(fields):
    """What is wanted is all there is: one definition whose field is everywhere."""
    row = Definition(
        "any", SignalKind.PANIC, LogSource.OTLP, "any", (Condition("severity"),), keep=tuple(fields)
    )
    return Wanted.of(Definitions((row,)))


def read(body, wanted):
    found = otlp_json.resources(body, wanted) if body[:1] == b"{" else otlp.resources(body, wanted)
    return [(dict(each.fields), list(each.records)) for each in found]


@given(VALUES, st.dictionaries(NAMES, VALUES, max_size=3), TIMES, TIMES)
def test_what_the_protocols_own_classes_write_is_read_as_it_was_meant(body, attributes, time, seen):
    """Maps in maps, lists and all scalars, by name; protobuf and JSON alike."""
    made = request(body, resource=attributes, attributes=attributes, time_ns=time, observed_ns=seen)
    meant = flat("body", body)
    for name, value in attributes.items():
        meant.update(flat(f"attributes.{name}", value))
    of_resource = {}
    for name, value in attributes.items():
        of_resource.update(flat(f"resource.{name}", value))
    wanted = everything({**meant, **of_resource})

    [(resource, [outline])] = read(made.SerializeToString(), wanted)

    assert resource == of_resource
    assert outline.time_ns == (time or seen)
    told = {"severity": "ERROR", "severity_number": "17", "scope": "a-scope"}
    assert outline.record.fields == {**of_resource, **meant, **told}
    if not has_double(body, attributes):
        [(again, [as_json])] = read(json.dumps(MessageToDict(made)).encode(), wanted)
        assert again == resource and as_json.time_ns == outline.time_ns
        assert {k: v for k, v in as_json.record.fields.items() if k != "severity_number"} == {
            k: v for k, v in outline.record.fields.items() if k != "severity_number"
        }


def has_double(*values):
    """JSON's text of a double may be rounded by who writes it."""
    return any(
        isinstance(value, float)
        or (isinstance(value, dict) and has_double(*value.values()))
        or (isinstance(value, list) and has_double(*value))
        for value in values
    )


@given(st.binary(max_size=300))
def test_no_bytes_are_more_than_bad_input(body):
    """Whatever comes is read or refused; never an exception, never a crash."""
    wanted = Wanted.of(shipped(), ("resource.host.name",))
    for reader in (otlp.resources, otlp_json.resources):
        try:
            for each in reader(body, wanted):
                list(each.records)
        except Rejected:
            pass


@given(DAMAGE, st.booleans())
def test_a_damaged_request_is_read_or_refused(damage, as_json):
    """Wrong lengths, tags and numbers deep inside of a record that is read in full."""
    made = request(windows(1001, REPORTING), resource={"host.name": "till-17"})
    good = json.dumps(MessageToDict(made)).encode() if as_json else made.SerializeToString()
    body = bytearray(good)
    for at, byte in damage:
        body[at % len(body)] = byte
    wanted = Wanted.of(shipped(), ("resource.host.name",))
    reader = otlp_json.resources if as_json else otlp.resources

    try:
        for each in reader(bytes(body), wanted):
            for outline in each.records:
                assert 0 <= outline.time_ns < 2**64
    except Rejected:
        pass


@given(DAMAGE)
def test_what_we_refuse_the_protocols_own_classes_refuse_too(damage):
    """An exporter whose bytes are good must never be told that they are not."""
    body = bytearray(request(windows(1001, REPORTING)).SerializeToString())
    for at, byte in damage:
        body[at % len(body)] = byte

    try:
        read_all = [list(r.records) for r in otlp.resources(bytes(body), Wanted.of(shipped()))]
    except Rejected as error:
        # Groups, which OTLP never has, are skipped there and refused here.
        if "that OTLP does not use" not in str(error):
            with pytest.raises(DecodeError):
                ExportLogsServiceRequest.FromString(bytes(body))
    else:
        assert isinstance(read_all, list)


@given(
    st.lists(
        st.sampled_from(
            [
                windows(1001, REPORTING),
                windows(7034, "Service Control Manager"),
                windows(1, "Other"),
                "nothing",
                {"MESSAGE": "Oops: 0", "_TRANSPORT": "kernel"},
                {"MESSAGE": "Oops: 0", "_TRANSPORT": "syslog"},
                '{"bug_type":"210"}',
                "Previous shutdown cause: 3",
            ]
        ),
        max_size=12,
    )
)
def test_the_sieve_lets_everything_through_that_fits(bodies):
    """A record that is not read must be one that no definition fits."""
    rows = shipped().of(LogSource.OTLP)
    wanted = Wanted.of(shipped())
    unsieved = Wanted(wanted.names, wanted.within, Sieve((), ((),)))
    made = request(*bodies).SerializeToString()

    def fits(by):
        return [
            None if each.record is None else first_fit(rows, each.record.fields)
            for _, records in read(made, by)
            for each in records
        ]

    assert fits(wanted) == fits(unsieved)


@given(
    st.from_regex(
        r"\A\^?([a-z]{1,4}|\.|\.\*|[a-z]\?|[a-z]\+|\[[a-z]{1,3}\]|\([a-z]{2}\|[a-z]{2}\)|"
        r"\\\[|[a-z]\{0,2\}){1,6}\Z"
    ),
    st.data(),
)
def test_every_text_that_a_pattern_is_found_in_has_its_runs(pattern, data):
    """The sieve may look for these, or it would drop what fits."""
    compiled = re.compile(pattern)
    text = data.draw(st.from_regex(compiled))

    assert all(run in text for run in runs(compiled))


def test_json_that_is_too_rich_or_too_deep_is_refused_before_it_takes_memory():
    """A few bytes of JSON can be a value of dozens."""
    with pytest.raises(Rejected):
        otlp_json.cost(b"[" + b"{}," * otlp_json.MOST_VALUES)
    deep = b'{"resourceLogs":' + b"[" * 100_000
    with pytest.raises(Rejected):
        list(otlp_json.resources(deep, Wanted.of(shipped())))
    assert otlp_json.cost(msgspec.json.encode({"a": [1, 2]})) < 1_000
