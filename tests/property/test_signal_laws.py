"""Laws of the intake's format and stores that hold for any input."""

import json
import string
import tempfile
from itertools import pairwise
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from firedoor.adapters.store.signals import SignalDatabase, SignalReader
from firedoor.core.errors import FiredoorError
from firedoor.core.units import MachineNo, UnixMs
from firedoor.formats.ndjson import decode, detail_text, unix_ms
from firedoor.intake.body import gunzip
from firedoor.ports import Delivery, Instant, SignalEvent

GOOD = {"machine": "till-17", "time": 1, "kind": "panic"}

words = st.text(string.printable, max_size=12).map(lambda text: text.replace("\n", " "))
good_lines = st.builds(
    lambda machine, time, kind: json.dumps({"machine": machine, "time": time, "kind": kind}),
    machine=words,
    time=st.integers(0, 2**40),
    kind=words,
)
other_lines = st.one_of(
    words, st.just(json.dumps({"machine": "x"})), st.just(" " * 3), st.just(json.dumps(GOOD) * 2)
)
events = st.builds(
    SignalEvent,
    machine=st.integers(1, 4).map(MachineNo),
    kind=st.sampled_from(["panic", "coredump"]),
    time_ms=st.just(UnixMs(5)),
    key=st.sampled_from(["a", "b"]),
    detail=st.none(),
    shift_ms=st.just(0),
)


@given(st.lists(st.one_of(good_lines, other_lines), max_size=20), st.sampled_from(["\n", "\r\n"]))
def test_every_line_that_is_not_blank_is_a_signal_or_an_error_under_its_own_number(texts, end):
    """Nothing is lost silently, and nothing is counted twice."""
    pieces = list(decode(end.join(texts).encode()))

    numbers = [n for piece in pieces for n in (*piece.numbers, *(m.line for m in piece.malformed))]
    told = [number for number, text in enumerate(texts, 1) if text.strip(" \t\r\x0b\x0c")]
    assert sorted(numbers) == told


@given(st.lists(good_lines, min_size=1, max_size=8), st.lists(other_lines, max_size=4))
def test_bad_lines_never_change_how_good_ones_are_read(good, bad):
    """The fast way and the careful way of decoding are one format."""
    alone = [line for piece in decode("\n".join(good).encode()) for line in piece.lines]
    mixed = [line for piece in decode("\n".join([*good, *bad]).encode()) for line in piece.lines]

    assert [tuple(map(str, (x.machine, x.time, x.kind))) for x in mixed[: len(alone)]] == [
        tuple(map(str, (x.machine, x.time, x.kind))) for x in alone
    ]
    assert len(alone) == len(good)


@given(st.binary(min_size=1, max_size=300))
def test_no_bytes_make_the_decoder_fail_in_a_way_nobody_planned(body):
    """Whoever has a token may send anything."""
    pieces = list(decode(b"{}\n" + body))

    assert pieces
    for piece in pieces:
        assert len(piece.numbers) == len(piece.lines)
        for line in piece.lines:
            assert unix_ms(line.time) >= 0
            try:
                detail_text(line)
            except FiredoorError:
                continue


@given(st.binary(max_size=200), st.integers(0, 50))
def test_unpacking_yields_at_most_the_limit_or_a_planned_refusal(packed, limit):
    """Neither damage nor a bomb gets past it."""
    try:
        assert len(gunzip(b"\x1f\x8b\x08" + packed, limit)) <= limit
    except FiredoorError:
        return


@settings(max_examples=30)
@given(st.lists(st.lists(st.lists(events, max_size=5), max_size=4), max_size=5))
def test_however_events_are_split_repeated_and_grouped_each_is_stored_once(commits):
    """Any split, order or repetition gives the same events, and the counts add up to them."""
    with tempfile.TemporaryDirectory() as folder:
        store, new = SignalDatabase(Path(folder, "intake.db")), 0
        for at, deliveries in enumerate(commits):
            counts = store.append(
                Instant("boot", at, UnixMs(at)), [Delivery((), given) for given in deliveries]
            )
            assert len(counts) == len(deliveries)
            new += sum(counts)
        source = SignalReader(Path(folder, "intake.db"))
        stored = source.events_after(0, 1_000)
        batches = source.batches_after(0, 1_000)
        source.close()
        store.close()

    sent = {event for deliveries in commits for given in deliveries for event in given}
    assert {entry.event for entry in stored} == sent
    assert new == len(stored) == len(sent)
    assert all(a.received.mono_ms <= b.received.mono_ms for a, b in pairwise(batches))
