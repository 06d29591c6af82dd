"""Single values: what a person may write, and what it means."""
# ruff: noqa: S104 - addresses are read here, never bound

import tomllib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from firedoor.config import values
from firedoor.config.values import Listen, Unfit


@pytest.mark.parametrize(
    ("written", "milliseconds"),
    [
        ("0s", 0), ("500ms", 500), ("0.5s", 500), ("90s", 90_000), ("1.5 m", 90_000),
        ("10m", 600_000), ("24h", 86_400_000), ("7d", 604_800_000), ("3650d", 315_360_000_000),
    ],
)  # fmt: skip
def test_a_duration_is_one_number_and_one_unit(written, milliseconds):
    """The units of decisions.md; a fraction must not come out a millisecond off."""
    assert values.duration(written) == milliseconds


@pytest.mark.parametrize(
    "written",
    [60, 1.5, True, "", "90", "s", "-5s", "1h30m", "0.5ms", "3651d", "٣s", "1e3s", "5 s ", None],
)
def test_what_is_no_duration_is_refused(written):
    """A number without a unit is the classic way to wait 60 milliseconds instead of a minute."""
    with pytest.raises(Unfit, match=r"duration|whole number of ms"):
        values.duration(written)


@given(st.integers(0, 315_360_000_000))
def test_a_duration_printed_is_read_back_the_same(milliseconds):
    """What config show prints can be pasted into a file."""
    assert values.duration(tomllib.loads(f"x={values.show_duration(milliseconds)}")["x"]) == (
        milliseconds
    )


@given(st.integers(1, 10**15 - 1))
def test_a_size_printed_is_read_back_the_same(size_bytes):
    """The same for sizes, where two families of units compete."""
    shown = tomllib.loads(f"x={values.show_size(size_bytes)}")["x"]

    assert values.size(shown) == size_bytes


@pytest.mark.parametrize(
    ("written", "size_bytes"),
    [("64MiB", 67_108_864), ("10KB", 10_000), ("1.5KiB", 1_536), ("1 GiB", 2**30), ("7B", 7)],
)
def test_binary_and_decimal_sizes_are_told_apart(written, size_bytes):
    """MiB and MB differ by 5 percent: guessing would surprise somebody."""
    assert values.size(written) == size_bytes


@pytest.mark.parametrize("written", [1024, "0B", "1.5B", "10", "10Mb/s", "-1B"])
def test_what_is_no_size_is_refused(written):
    """A body limit of nothing, or of a number without unit, is a mistake."""
    with pytest.raises(Unfit):
        values.size(written)


def test_a_unit_in_the_wrong_case_is_met_with_the_right_one():
    """People write "10mb" and "1H"; the message should end the search."""
    with pytest.raises(Unfit) as size:
        values.size("10mib")
    with pytest.raises(Unfit) as duration:
        values.duration("1H")

    assert size.value.hint == 'did you mean "10MiB"?'
    assert duration.value.hint == 'did you mean "1h"?'


@pytest.mark.parametrize(
    ("written", "host", "port"),
    [
        ("0.0.0.0:8080", "0.0.0.0", 8080),
        ("[::]:0", "::", 0),
        ("localhost:65535", "localhost", 65535),
    ],
)
def test_an_address_to_listen_on_is_read_and_printed_the_same(written, host, port):
    """IPv6 needs its brackets in both directions."""
    read = values.listen(written)

    assert (read.host, read.port, str(read)) == (host, port, written)


@pytest.mark.parametrize(
    "written",
    [8080, "80", ":8080", "127.0.0.1", "::1:8080", "[127.0.0.1]:1", "127.0.0.1:65536",
     "host.example:1", "127.0.0.1:http", "127.0.0.1:", "256.0.0.1:1"],
)  # fmt: skip
def test_what_is_no_address_to_listen_on_is_refused(written):
    """Found here, it is a line in a file; found later, it is a process that does not start."""
    with pytest.raises(Unfit):
        values.listen(written)


@pytest.mark.parametrize(
    ("one", "other", "clash"),
    [
        (Listen("0.0.0.0", 1), Listen("127.0.0.1", 1), True),
        (Listen("127.0.0.1", 1), Listen("127.0.0.2", 1), False),
        (Listen("127.0.0.1", 1), Listen("127.0.0.1", 2), False),
        (Listen("0.0.0.0", 0), Listen("0.0.0.0", 0), False),
    ],
)
def test_two_roles_clash_if_they_want_the_same_port_of_one_address(one, other, clash):
    """Port 0 is "any free port" and never clashes; a wildcard clashes with all."""
    assert one.clashes(other) is other.clashes(one) is clash


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.9.10", "::1", "localhost"])
def test_loopback_is_known_in_all_its_forms(host):
    """The console's refusal of anything else hangs on this."""
    assert Listen(host, 1).loopback


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "10.0.0.1", "::ffff:10.0.0.1"])
def test_what_others_can_reach_is_not_loopback(host):
    """A wildcard address contains loopback and much more."""
    assert not Listen(host, 1).loopback


@pytest.mark.parametrize("written", [0, 1, -0.1, 1.5, float("nan"), float("inf"), True, "0.05"])
def test_a_share_lies_strictly_between_nothing_and_all(written):
    """An alpha of 0 never acts, one of 1 always does; neither is what anybody means."""
    with pytest.raises(Unfit):
        values.share(written)


def test_a_percentage_is_met_with_the_share_it_means():
    """The likeliest mistake of all is control = 10."""
    with pytest.raises(Unfit) as unfit:
        values.share(10)

    assert unfit.value.hint == "write 10 percent as 0.1"


@pytest.mark.parametrize("written", [0, -1, 2.5, 5.0, True, "5"])
def test_a_budget_is_a_whole_number_of_machines(written):
    """Half a machine cannot be put at risk."""
    with pytest.raises(Unfit):
        values.machines(written)


@pytest.mark.parametrize(
    ("written", "read"),
    [
        ("https://v.example/a@b/?x=1", "https://v.example/a@b/?x=1"),
        ("http://[::1]:8000/", "http://[::1]:8000/"),
        ("/srv/my updates", "/srv/my updates"),
        ("file:///srv/my%20updates", "/srv/my updates"),
        ("file://localhost/srv", "/srv"),
    ],
)
def test_an_upstream_is_a_url_or_a_local_directory(written, read):
    """A directory that a person syncs by hand is an upstream like any other."""
    assert values.source(written) == read


@pytest.mark.parametrize(
    "written",
    ["", "srv/updates", "ftp://v.example/", "https:///x", "file://other/x", "https://v.example/#f",
     "https://v.example:port/", "https://v.example/a b", "https://[::1/", "/srv\0", 5],
)  # fmt: skip
def test_what_is_no_upstream_is_refused(written):
    """The mirror would fail on it every ten minutes instead."""
    with pytest.raises(Unfit):
        values.source(written)


@pytest.mark.parametrize(
    "written",
    ["https://u:hunter2@v.example/", "ftp://u:hunter2@v.example/", "u:hunter2@v.example/x",
     "https://u:hunter2@[bad/"],
)  # fmt: skip
def test_a_url_with_credentials_is_refused_and_not_repeated(written):
    """Messages are copied into tickets and logs."""
    with pytest.raises(Unfit) as unfit:
        values.source(written)

    assert "hunter2" not in f"{unfit.value} {unfit.value.found} {unfit.value.hint}"
    assert unfit.value.found == "a URL with credentials"


def test_a_wrong_webhook_is_not_repeated():
    """The path of a webhook is often its only secret, also when the scheme is misspelt."""
    with pytest.raises(Unfit) as unfit:
        values.hook_address("htps://hooks.example/T0/SECRET")

    assert unfit.value.found == "another text"


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    )
)
def test_no_value_makes_a_reader_stumble(value):
    """Whatever stands in the file, the answer is a value or a reason, never a traceback."""
    for read in (
        values.duration, values.some_duration, values.size, values.machines, values.share,
        values.yes_no, values.text, values.words, values.command, values.listen,
        values.web_address, values.hook_address, values.source, values.attributes,
        values.one_of("a"), values.auto_or(values.share),
    ):  # fmt: skip
        try:
            read(value)
        except Unfit as unfit:
            assert str(unfit)  # noqa: PT017 - either outcome is right


@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_a_text_printed_is_read_back_the_same(written):
    """Control characters and quotes included: what is shown is TOML."""
    assert tomllib.loads(f"x = {values.show(written)}")["x"] == written
