import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from firedoor.core.errors import BadInput
from firedoor.core.machine import Purpose, checked_name, name_filter, redact, spell_tokens
from firedoor.core.machine import token_digest as digest

ENTROPY = bytes(range(16))


@pytest.mark.parametrize("name", ["a", "till-17.shop_3:lane", "A" * 128])
def test_a_name_of_letters_digits_and_four_marks_is_accepted(name):
    """Host names, asset tags and MAC addresses are what people call machines."""
    assert checked_name(name) == name


@pytest.mark.parametrize("name", ["", "A" * 129, "a/b", "a b", "ü", "a\n", ".", "..", "a\x00", "٣"])
def test_a_name_that_would_change_a_path_a_log_or_a_shell_word_is_refused(name):
    """Names travel in URLs, Basic credentials and exported lists."""
    with pytest.raises(BadInput) as refusal:
        checked_name(name)

    assert "letters" in refusal.value.hint


def test_a_token_names_its_purpose_and_carries_all_its_entropy():
    """The prefix makes a leak easy to find; the digits are the 128 bits and nothing else."""
    tokens = spell_tokens(Purpose.SIGNAL, ENTROPY + b"\xff" * 16)

    assert tokens == ["fds_000102030405060708090a0b0c0d0e0f", "fds_" + "f" * 32]
    assert spell_tokens(Purpose.READ, ENTROPY)[0].startswith("fdr_")


def test_a_token_is_never_spelt_from_too_little_entropy():
    """A short read from the source of chance must not make a weak token."""
    with pytest.raises(ValueError, match="16 bytes"):
        spell_tokens(Purpose.READ, b"short")


def test_the_digest_is_plain_sha256_so_any_tool_can_make_it():
    """An operator finds a leaked token's owner with sha256sum."""
    assert digest("fdr_x") == hashlib.sha256(b"fdr_x").digest()


def test_text_that_no_token_could_be_has_a_digest_too():
    """A client may send anything; it is then simply unknown."""
    assert len(digest("\ud800")) == 32


@given(
    entropy=st.binary(min_size=16, max_size=16),
    before=st.text(alphabet=" /:?=\"'\n", min_size=1, max_size=3),
    after=st.text(alphabet=" /:?=\"'\n", min_size=1, max_size=3),
)
def test_no_token_survives_redaction_wherever_it_stands(entropy, before, after):
    """Tokens get into paths, headers, tracebacks and messages of other people's libraries."""
    (token,) = spell_tokens(Purpose.SIGNAL, entropy)

    assert token[4:] not in redact(f"request{before}{token}{after}failed")


@pytest.mark.parametrize(
    ("text", "secret"),
    [
        ("GET /m/fds_0001mistyped/v1/signals", "fds_0001mistyped"),
        ("/m/almost-a-token/x 404", "almost-a-token"),
        ("authorization: Basic dGlsbDpmZHM=", "dGlsbDpmZHM"),
        ("{'authorization': 'bearer abc.def-ghi_j'}", "abc.def"),
    ],
)
def test_a_mistyped_token_is_redacted_by_its_place(text, secret):
    """One wrong digit still gives the others away."""
    assert secret not in redact(text)


def test_what_is_no_token_stays_readable():
    """Redaction that eats the message would be turned off."""
    text = "disk full while storing 17 signals of till-3 under /var/lib/firedoor"

    assert redact(text) == text


@pytest.mark.parametrize(
    ("patterns", "name", "allowed"),
    [
        (("till-*",), "till-17", True),
        (("till-*",), "TILL-17", False),
        (("till-?", "pos-[12]"), "pos-2", True),
        (("till-?",), "till-17", False),
        (("till",), "till-17", False),
        ((), "till-17", False),
    ],
)
def test_a_collector_is_bound_by_shell_patterns_with_case(patterns, name, allowed):
    """Whole names are compared: a pattern is not a prefix."""
    assert name_filter(patterns)(name) is allowed
