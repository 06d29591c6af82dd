from firedoor.core.signal import CHECK, CRASH, SILENCE, STREAMS, SignalKind, stream_of


def test_every_kind_counts_in_one_stream_or_is_a_sign_of_life_alone():
    """The table of decisions.md 5; a kind in the wrong stream would bend a verdict."""
    streams = {kind.value: stream_of(kind) for kind in SignalKind}

    assert streams == {
        "heartbeat": None,
        "boot-clean": None,
        "booted": None,
        "service-started": None,
        "check-passed": None,
        "boot-unclean": CRASH,
        "panic": CRASH,
        "bugcheck": CRASH,
        "service-failed": CRASH,
        "coredump": CRASH,
        "check-failed": CHECK,
        "false-positive": CHECK,
    }


def test_nobody_can_send_silence():
    """Silence is what the judge concludes; a machine that says it is silent is not."""
    assert SILENCE not in {kind.value for kind in SignalKind}


def test_ties_go_to_what_was_said_before_what_was_not():
    """The order is part of a verdict's arithmetic and must never change unnoticed."""
    assert STREAMS == ("crash", "check", "silence")
