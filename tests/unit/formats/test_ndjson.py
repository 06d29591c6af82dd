import pytest

from firedoor.core.errors import BadInput, TooLarge
from firedoor.formats import ndjson
from firedoor.formats.ndjson import decode, detail_text, unix_ms

GOOD = b'{"machine":"till-17","time":1721362140000,"kind":"heartbeat"}'


def lines_of(body):
    return [
        (number, line)
        for piece in decode(body)
        for number, line in zip(piece.numbers, piece.lines, strict=True)
    ]


def errors_of(body):
    return {bad.line: bad.error for piece in decode(body) for bad in piece.malformed}


def only(body):
    ((_, line),) = lines_of(body)
    return line


@pytest.mark.parametrize("end", [b"", b"\n", b"\r\n", b"\n\n\n"])
def test_the_end_of_a_body_is_no_line(end):
    """Some senders end the last line, some do not, and none means an empty signal by it."""
    assert [number for number, _ in lines_of(GOOD + b"\n" + GOOD + end)] == [1, 2]
    assert errors_of(GOOD + b"\n" + GOOD + end) == {}


@pytest.mark.parametrize("body", [b"", b"\n", b" \r\n\t\n"])
def test_a_body_of_nothing_has_no_lines(body):
    """A collector with nothing to say says it in many ways."""
    assert lines_of(body) == []
    assert errors_of(body) == {}


def test_a_bad_line_costs_itself_alone_and_is_named_by_its_number():
    """A collector's one broken agent must not silence all the others."""
    body = b"\n".join([GOOD, b"", b"{nonsense", GOOD, b'{"machine":"x"}', GOOD])

    assert [number for number, _ in lines_of(body)] == [1, 4, 6]
    assert errors_of(body).keys() == {3, 5}
    assert "time" in errors_of(body)[5]


def test_line_numbers_go_on_from_piece_to_piece(monkeypatch):
    """Whoever looks for line 40,000 must find it there."""
    monkeypatch.setattr(ndjson, "_PIECE_BYTES", 100)
    body = b"\n".join([GOOD, GOOD, b"x", b"", GOOD, GOOD, b"y", GOOD])

    assert len(list(decode(body))) > 2
    assert [number for number, _ in lines_of(body)] == [1, 2, 5, 6, 8]
    assert errors_of(body).keys() == {3, 7}


def test_two_objects_on_one_line_are_one_wrong_line():
    """Otherwise all later errors would name the wrong line."""
    body = b"\n".join([GOOD, GOOD + b" " + GOOD, b"", GOOD])

    assert [number for number, _ in lines_of(body)] == [1, 4]
    assert errors_of(body).keys() == {2}


@pytest.mark.parametrize("member", [b"x", b"detail", b"time"])
def test_a_line_nested_too_deeply_costs_itself_alone(member):
    """The decoder gives up on it in a way of its own, which must not cost the whole body."""
    deep = GOOD[:-1] + b',"' + member + b'":' + b"[" * 5_000 + b"]" * 5_000 + b"}"
    body = b"\n".join([GOOD, deep, GOOD])

    assert [number for number, _ in lines_of(body)] == [1, 3]
    assert errors_of(body).keys() == {2}


@pytest.mark.parametrize(
    "time",
    [
        b"1721362140123",
        b'"2024-07-19T04:09:00.123Z"',
        b'"2024-07-19T06:09:00.123+02:00"',
        b'"2024-07-19t04:09:00.1239z"',
    ],
)
def test_one_instant_has_one_number_however_it_is_written(time):
    """The number is the idempotency key: a collector may rewrite times between two attempts."""
    line = only(b'{"machine":"a","kind":"panic","time":' + time + b"}")

    assert unix_ms(line.time) == 1721362140123


@pytest.mark.parametrize(
    "time",
    [
        b'"2024-07-19T04:09:00"',
        b'"yesterday"',
        b"-1",
        b"true",
        b"null",
        b"1e400",
        b"9" * 30,
        b"1.5",
    ],
)
def test_a_time_that_is_not_an_instant_is_refused(time):
    """Without an offset nobody knows which hour was meant."""
    body = b'{"machine":"a","kind":"panic","time":' + time + b"}"

    assert lines_of(body) == []
    assert errors_of(body).keys() == {1}


def test_a_clock_before_1970_is_taken_for_1970():
    """A machine whose clock battery died still tells of its crash."""
    line = only(b'{"machine":"a","kind":"panic","time":"1969-12-31T23:59:59Z"}')

    assert unix_ms(line.time) == 0


def test_members_this_server_does_not_know_are_ignored():
    """A newer agent must not lose a crash to an older server over an additional word."""
    line = only(b'{"machine":"a","time":1,"kind":"panic","severity":[9,{"x":1}]}')

    assert line.kind == "panic"


def test_detail_is_kept_as_the_json_it_was():
    """Detail is evidence for people: nothing in it is reordered or rounded."""
    line = only('{"machine":"a","time":1,"kind":"panic","detail":{"b":1.10,"a":"ß"}}'.encode())

    assert detail_text(line) == '{"b":1.10,"a":"ß"}'


@pytest.mark.parametrize("detail", [b"", b',"detail":null'])
def test_no_detail_is_none(detail):
    """Most signals have none."""
    assert detail_text(only(b'{"machine":"a","time":1,"kind":"panic"' + detail + b"}")) is None


@pytest.mark.parametrize(
    ("detail", "why"),
    [
        (b'"text"', "object"),
        (b"[1]", "object"),
        (b'{"x":"' + b"y" * 5_000 + b'"}', "4,096"),
        (b'{"x":"\xff"}', "UTF-8"),
    ],
)
def test_detail_that_cannot_be_kept_is_refused(detail, why):
    """A core dump in base64 is not a detail."""
    line = only(b'{"machine":"a","time":1,"kind":"panic","detail":' + detail + b"}")

    with pytest.raises(BadInput, match=why):
        detail_text(line)


def test_a_body_of_very_many_short_lines_is_refused_before_any_work():
    """Eight MiB of line ends would otherwise cost seconds and a reply of a gigabyte."""
    with pytest.raises(TooLarge):
        decode(b"x\n" * (ndjson.MAX_LINES + 1))


def test_a_body_of_exactly_as_many_lines_as_allowed_is_read():
    """The limit is a number people may rely on."""
    assert len(errors_of(b"x\n" * ndjson.MAX_LINES)) == ndjson.MAX_LINES
