"""What a journal says of boots, and what it does not."""

from firedoor.core.boots import MOST_TURNS, REMEMBERED, Boots, JournalState

NEW = JournalState(since_ms=0)


def read(state, *entries):
    """Read an upload: "a" is an entry of a boot, "a." journald's last in it, "a!" its first."""
    boots = Boots(state)
    for entry in entries:
        boots.turn(entry[0], "machine", None, None)
        if entry[1:]:
            boots.stopped(entry[0], stopped=entry[1:] == ".")
    judged = {turn.boot: clean for turn, clean in boots.judged(at_end=True)}
    return judged, boots.known()


def test_a_boot_whose_predecessor_did_not_stop_is_unclean():
    """The end of a boot arrives with the next one; a machine that crashed says nothing at all."""
    judged, _ = read(NEW, "a", "a.", "b", "c")

    assert judged == {"b": True, "c": False}


def test_the_end_of_a_boot_may_come_with_another_upload():
    """The client's first entry after a start is the last one that it had sent."""
    _, state = read(NEW, "a")

    clean, _ = read(state, "a", "a.", "b")
    unclean, _ = read(state, "a", "b")

    assert clean == {"b": True}
    assert unclean == {"b": False}


def test_of_a_journal_in_memory_nothing_is_said_of_boots():
    """It ends with every boot, shut down as it should be or not: each would look like a crash."""
    _, state = read(NEW, "a")

    judged, state = read(state, "b")

    assert judged == {"b": None}
    assert state.volatile
    judged, state = read(state, "b", "c")
    assert judged == {"c": False}
    assert not state.volatile


def test_a_restart_of_journald_is_no_shutdown():
    """It says the same two sentences, in the same boot; a crash after it is a crash."""
    judged, _ = read(NEW, "a!", "a.", "a!", "b")

    assert judged == {"b": False}


def test_two_boots_may_come_mixed():
    """A clock that was set back: entries of both are sent in the order of what it showed."""
    judged, _ = read(NEW, "a", "b", "a", "b", "a.", "b")

    assert judged == {"b": True}


def test_a_journal_that_is_sent_again_says_nothing_new_of_boots():
    """A cursor that was lost, an answer that was."""
    judged, state = read(NEW, "a", "b", "c")

    again, same = read(state, "a", "b", "c")

    assert judged == {"b": False, "c": False}
    assert again == {}
    assert same == state


def test_boots_older_than_those_remembered_do_not_follow_the_last_one():
    """All that is sent again begins with the oldest: it began, and did not follow the newest."""
    _, state = read(NEW, *(chr(ord("a") + n) for n in range(REMEMBERED + 3)))

    judged, _ = read(state, "a", "a.", "b")

    assert judged == {"a": None, "b": True}


def test_another_machine_in_the_same_journal_is_no_predecessor():
    """Containers, and images that were cloned and given an identity later."""
    boots = Boots(NEW)
    boots.turn("a", "one", None, None)
    boots.turn("b", "other", None, None)

    assert boots.judged(at_end=True) == []


def test_a_boot_waits_for_its_verdict_while_an_upload_goes_on():
    """The end of the boot before may come after it; a stream that never ends is judged as well."""
    boots = Boots(NEW)
    boots.turn("a", "m", None, None)
    boots.turn("b", "m", None, None)

    assert boots.judged(at_end=False) == []
    [(turn, clean)] = boots.judged(at_end=False)
    assert (turn.boot, clean) == ("b", False)
    assert boots.judged(at_end=True) == []


def test_a_journal_of_nothing_but_boots_takes_no_memory():
    """Whoever sends one must not fill ours."""
    boots = Boots(NEW)
    for number in range(10 * MOST_TURNS):
        boots.turn(f"boot-{number}", "m", None, None)

    assert len(boots.judged(at_end=True)) == MOST_TURNS
    assert len(boots.known().boots) == REMEMBERED
