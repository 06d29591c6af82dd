"""How far a look has got, as it is told in a file."""

from tests.clocks import HandClock

from firedoor.wire.looking import Looking, Progress, progress_of


def test_it_is_told_once_a_second_and_forgotten_at_the_end(tmp_path):
    """Sixty thousand files must not be sixty thousand writes."""
    clock, path = HandClock(), tmp_path / "looking" / "debian.json"
    since = clock.wall_ms
    looking = Looking(path, clock)
    assert progress_of(path, since) is None

    arrived = looking.begin(3, 600)
    assert progress_of(path, since) == Progress(since, since, 0, 3, 0, 600)
    arrived(100)
    arrived(200)
    assert progress_of(path, since) == Progress(since, since, 1, 3, 100, 600)
    clock.pass_ms(1_000)
    arrived(300)
    assert progress_of(path, clock.wall_ms) == Progress(since, clock.wall_ms, 3, 3, 600, 600)

    looking.end()
    looking.end()
    assert progress_of(path, clock.wall_ms) is None


def test_what_a_killed_judge_has_left_is_of_nobody_who_looks(tmp_path):
    """It would be looking for ever."""
    clock, path = HandClock(), tmp_path / "debian.json"
    Looking(path, clock).begin(3, 600)
    clock.pass_ms(120_000)

    assert progress_of(path, clock.wall_ms) is None
    path.write_text("{")
    assert progress_of(path, clock.wall_ms) is None


def test_a_folder_that_cannot_be_written_ends_no_look(tmp_path):
    """Nobody sees it, and the release comes all the same."""
    (tmp_path / "looking").write_text("no folder")
    looking = Looking(tmp_path / "looking" / "debian.json", HandClock())

    looking.begin(1, 1)(1)
    looking.end()
