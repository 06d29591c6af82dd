"""Checking a ledger: whatever is done to it, the check names the place and the reason."""

from collections.abc import Mapping
from dataclasses import replace

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from firedoor.core.errors import BadInput
from firedoor.core.ledger.canonical import Json
from firedoor.core.ledger.chain import EMPTY, FaultKind, Head, verify_chain
from firedoor.core.ledger.entry import GENESIS, Entry, Signed, leaf_hash, signed_payload
from firedoor.core.units import Digest, UnixMs

KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
OTHER_KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(1, 33)))
PUBLIC = KEY.public_key().public_bytes_raw()


def sign(entry: Entry, key: Ed25519PrivateKey = KEY) -> Signed:
    return Signed(entry, key.sign(signed_payload(entry)))


def ledger(bodies: list[Mapping[str, Json]], *, clock: list[int] | None = None) -> list[Signed]:
    chain: list[Signed] = []
    previous = GENESIS
    for index, body in enumerate(bodies):
        time_ms = UnixMs(clock[index] if clock else 1_000 * index)
        chain.append(sign(Entry(index, time_ms, "door-opening", body, previous)))
        previous = leaf_hash(chain[-1].entry)
    return chain


CHAIN = ledger([{"boarding": n} for n in range(6)])
HEAD = Head(6, leaf_hash(CHAIN[-1].entry))


def test_an_untouched_ledger_is_sound():
    """The sound case, with and without a head kept apart."""
    report = verify_chain(CHAIN, PUBLIC, HEAD)

    assert report.sound
    assert report.head == HEAD
    assert report.clock_steps == ()
    assert verify_chain(iter(CHAIN), PUBLIC).sound


def test_an_empty_ledger_is_sound_until_it_is_known_to_have_had_entries():
    """Deleting everything is the crudest attack."""
    assert verify_chain([], PUBLIC).head == EMPTY

    fault = verify_chain([], PUBLIC, HEAD).fault
    assert fault is not None
    assert (fault.index, fault.kind) == (0, FaultKind.TRUNCATED)


@pytest.mark.parametrize(
    ("change", "kind"),
    [
        ({"index": 4}, FaultKind.GAP),
        ({"time_ms": UnixMs(1)}, FaultKind.WRONG_SIGNATURE),
        ({"kind": "door-open"}, FaultKind.WRONG_SIGNATURE),
        ({"body": {"boarding": 7}}, FaultKind.WRONG_SIGNATURE),
        ({"body": {"boarding": 3, "more": 0}}, FaultKind.WRONG_SIGNATURE),
        ({"previous": Digest("a" * 64)}, FaultKind.WRONG_PREVIOUS),
    ],
)
def test_a_change_of_any_field_is_found_where_it_was_made(change, kind):
    """The record of a decision cannot be made prettier afterwards."""
    chain = [*CHAIN]
    chain[3] = Signed(replace(chain[3].entry, **change), chain[3].signature)

    fault = verify_chain(chain, PUBLIC).fault

    assert fault is not None
    assert (fault.index, fault.kind) == (3, kind)
    assert verify_chain(chain, PUBLIC).head == Head(3, leaf_hash(CHAIN[2].entry))


def test_every_byte_of_a_signature_counts():
    """A signature that is nearly right is wrong."""
    for position in range(64):
        wrong = bytearray(CHAIN[2].signature)
        wrong[position] ^= 1
        chain = [*CHAIN]
        chain[2] = Signed(chain[2].entry, bytes(wrong))

        fault = verify_chain(chain, PUBLIC).fault

        assert fault is not None
        assert (fault.index, fault.kind) == (2, FaultKind.WRONG_SIGNATURE)


@pytest.mark.parametrize("dropped", range(5))
def test_a_dropped_entry_leaves_a_gap(dropped):
    """A decision cannot be made to have never happened."""
    chain = [*CHAIN[:dropped], *CHAIN[dropped + 1 :]]

    fault = verify_chain(chain, PUBLIC).fault

    assert fault is not None
    assert (fault.index, fault.kind) == (dropped, FaultKind.GAP)


@pytest.mark.parametrize("first", range(5))
def test_swapped_entries_are_found(first):
    """Cause and effect cannot change places."""
    chain = [*CHAIN]
    chain[first], chain[first + 1] = chain[first + 1], chain[first]

    fault = verify_chain(chain, PUBLIC).fault

    assert fault is not None
    assert (fault.index, fault.kind) == (first, FaultKind.GAP)


def test_an_entry_cannot_be_there_twice():
    """A repeated decision is not the same as a decision."""
    fault = verify_chain([*CHAIN[:3], CHAIN[2], *CHAIN[3:]], PUBLIC).fault

    assert fault is not None
    assert (fault.index, fault.kind) == (3, FaultKind.GAP)


@pytest.mark.parametrize("kept", range(6))
def test_a_cut_off_end_is_found_with_a_head_kept_apart(kept):
    """What remains is sound by itself: only knowledge from elsewhere shows the cut."""
    cut = CHAIN[:kept]

    assert verify_chain(cut, PUBLIC).sound
    fault = verify_chain(cut, PUBLIC, HEAD).fault
    assert fault is not None
    assert (fault.index, fault.kind) == (kept, FaultKind.TRUNCATED)


def test_a_ledger_may_have_grown_since_the_head_was_kept():
    """The head is written after the entry; a crash between the two is no tampering."""
    older = Head(4, leaf_hash(CHAIN[3].entry))

    assert verify_chain(CHAIN, PUBLIC, older).sound


def test_a_rewritten_history_of_the_right_key_is_a_fork():
    """Whoever has the key can sign another past; the head kept apart gives it away."""
    rewritten = ledger([{"boarding": n} for n in (0, 1, 2, 30, 31, 32)])
    older = Head(4, leaf_hash(CHAIN[3].entry))

    assert verify_chain(rewritten, PUBLIC).sound
    fault = verify_chain(rewritten, PUBLIC, older).fault
    assert fault is not None
    assert (fault.index, fault.kind) == (3, FaultKind.FORKED)


def test_an_entry_grafted_from_another_ledger_is_found():
    """The same key may have signed it, after another entry."""
    other = ledger([{"boarding": n} for n in (9, 1, 2, 3)])

    fault = verify_chain([*CHAIN[:2], *other[2:]], PUBLIC).fault

    assert fault is not None
    assert (fault.index, fault.kind) == (2, FaultKind.WRONG_PREVIOUS)


def test_another_key_is_found_at_the_first_entry_it_signed():
    """A stolen place in the ledger is not a stolen key."""
    forged = [*CHAIN[:4], sign(CHAIN[4].entry, OTHER_KEY), CHAIN[5]]

    fault = verify_chain(forged, PUBLIC).fault
    assert fault is not None
    assert (fault.index, fault.kind) == (4, FaultKind.WRONG_SIGNATURE)

    fault = verify_chain(CHAIN, OTHER_KEY.public_key().public_bytes_raw()).fault
    assert fault is not None
    assert (fault.index, fault.kind) == (0, FaultKind.WRONG_SIGNATURE)


def test_a_clock_set_back_is_a_note_and_no_fault():
    """Wall clocks are corrected; the order of a ledger is its indexes."""
    chain = ledger([{}, {}, {}, {}], clock=[1_000, 5_000, 4_000, 4_000])

    report = verify_chain(chain, PUBLIC)

    assert report.sound
    assert report.clock_steps == (2,)


def test_a_check_can_go_on_where_an_earlier_one_ended():
    """A ledger of years is not read from its first day at every start."""
    middle = verify_chain(CHAIN[:3], PUBLIC).head

    assert verify_chain(CHAIN[3:], PUBLIC, HEAD, after=middle).head == HEAD
    fault = verify_chain(CHAIN[4:], PUBLIC, after=middle).fault
    assert fault is not None
    assert (fault.index, fault.kind) == (3, FaultKind.GAP)


def test_a_key_that_is_none_is_refused():
    """A check with a wrong key file must not look like a tampered ledger."""
    with pytest.raises(BadInput):
        verify_chain(CHAIN, b"short")


@pytest.mark.parametrize(("size", "last"), [(-1, GENESIS), (0, Digest("a" * 64)), (1, GENESIS)])
def test_a_head_that_no_ledger_has_is_refused(size, last):
    """A head is kept as two values; they must not come from two places."""
    with pytest.raises(ValueError, match="no ledger"):
        Head(size, last)
