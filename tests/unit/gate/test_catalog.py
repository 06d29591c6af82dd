"""What is served, and what counts as an install."""

import pytest

from firedoor.core.release import FileEntry
from firedoor.core.units import Digest
from firedoor.formats.listing import Page, parse_page
from firedoor.gate.catalog import Installs, Served, payload_of


def files(**contents):
    return {
        path.replace("__", "/"): FileEntry(Digest(f"{n:064x}"), n, "text/plain")
        for path, n in contents.items()
    }


def served(*paths):
    manifest = {path: FileEntry(Digest("0" * 64), 1, "text/plain") for path in paths}
    return Served(1, "r", manifest)


# Payload


def test_what_changed_without_the_index_is_the_payload():
    """Reading the index installs nothing."""
    before = files(index=1, a=2, b=3)

    assert payload_of(files(index=9, a=2, b=4, c=5), before, "index".__eq__) == {"b", "c"}


def test_where_only_the_index_changed_it_is_the_payload():
    """Something must be able to count as installed."""
    assert payload_of(files(index=9, a=2), files(index=1, a=2), "index".__eq__) == {"index"}


def test_without_a_release_before_everything_is_new():
    """The first one."""
    assert payload_of(files(index=1, a=2), {}, "index".__eq__) == {"a"}
    assert payload_of(files(a=2), {}, "".__eq__) == {"a"}


def test_nothing_changed_is_no_payload():
    """A refresh installs nothing."""
    assert payload_of(files(a=2), files(a=2), "".__eq__) == frozenset()


# Listings


def test_a_folder_lists_its_files_and_folders_once():
    """Mirroring clients read one link a line."""
    page = served("a.db", "sub/b.db", "sub/c.db", "sub/deep/d.db").listing("")

    assert page is not None
    text = page.decode()
    assert text.count('href="./sub/"') == 1
    assert 'href="./a.db"' in text
    assert "b.db" not in text
    assert "../" not in text


def test_a_folder_below_leads_back_up():
    """As every index page does."""
    page = served("sub/b.db", "sub/deep/d.db").listing("sub/")

    assert page is not None
    assert b'href="../"' in page
    assert b'href="./b.db"' in page
    assert b'href="./deep/"' in page


@pytest.mark.parametrize("folder", ["nowhere/", "su", "sub/b.db/"])
def test_a_folder_that_is_not_there_has_no_page(folder):
    """404, not an empty page."""
    assert served("sub/b.db").listing(folder) is None or folder == "su"


def test_names_cannot_write_html_or_end_a_link():
    """A vendor chooses the names."""
    page = served('<b>"&.db', "who?.db", "a#1.db", "50%.db").listing("")

    assert page is not None
    text = page.decode()
    assert "<b>" not in text
    assert 'href="./who%3F.db"' in text
    assert 'href="./a%231.db"' in text
    assert 'href="./50%25.db"' in text


@pytest.mark.parametrize(
    "name",
    ["a:b.db", "javascript:alert(1)", "?", "#", "%41", " x", "ä.db", '"', "a&amp;b", "~", "+"],
)
def test_every_name_is_read_back_from_its_page_as_it_is(name):
    """Our own mirror is one of the clients, and so is a browser."""
    page = served(name, f"{name}s/{name}").listing("")

    assert page is not None
    assert parse_page(page) == Page((name,), (f"{name}s",))
    assert b'href="./' in page
    assert b'href="javascript' not in page


def test_a_release_is_read_through_once_for_all_its_listings():
    """Eight thousand files take ten milliseconds, in which nobody else is answered."""

    class Counted(dict[str, FileEntry]):
        read = 0

        def __iter__(self):
            Counted.read += 1
            return super().__iter__()

    files = Counted({f"{n % 10}/{n}.db": FileEntry(Digest("0" * 64), 1, "") for n in range(100)})
    content = Served(1, "r", files)
    assert Counted.read == 0

    pages = [content.listing(folder) for folder in ("", "3/", "zz/", "3/", *map(str, range(99)))]

    assert Counted.read == 1
    assert [page is None for page in pages[:4]] == [False, False, True, False]
    assert pages[1] == pages[3]


def test_an_empty_release_has_no_folders():
    """Not even the first."""
    assert served().listing("") is None


# Installs


def deliver(installs, *parts, path="a.db", size=100, machine=7, number=2):
    for start, end in parts:
        installs.deliver(number, machine, path, size=size, start=start, end=end, now=9)
    return installs.drain()


@pytest.mark.parametrize(
    "parts",
    [[(0, 100)], [(0, 40), (40, 100)], [(60, 100), (0, 60)], [(0, 70), (50, 100)],
     [(0, 10), (20, 100), (5, 25)]],
)  # fmt: skip
def test_all_bytes_of_a_changed_file_make_an_install(parts):
    """In one piece, in ranges, in any order, overlapping."""
    assert deliver(Installs(), *parts) == [(2, 7, 9)]


@pytest.mark.parametrize("parts", [[(0, 99)], [(1, 100)], [(0, 40), (41, 100)], []])
def test_a_file_with_a_hole_is_no_install(parts):
    """The client has nothing it could use."""
    installs = Installs()

    assert deliver(installs, *parts) == []
    assert not installs.is_done(2, 7, "a.db")


def test_parts_of_two_files_are_not_added_up():
    """Half of one and half of another is nothing."""
    installs = Installs()
    deliver(installs, (0, 50), path="a.db")

    assert deliver(installs, (50, 100), path="b.db") == []


def test_an_install_is_told_with_every_further_file_and_once_for_each():
    """The last one may be what kills; who reads the same again installs nothing."""
    installs = Installs()
    assert deliver(installs, (0, 100)) == [(2, 7, 9)]
    assert deliver(installs, (0, 100)) == []
    assert not installs.is_done(2, 7, "b.db")
    assert deliver(installs, (0, 100), path="b.db") == [(2, 7, 9)]
    assert deliver(installs, (0, 100), path="b.db") == []
    assert installs.is_done(2, 7, "a.db")


def test_files_beyond_those_that_are_told_apart_are_one():
    """A suite may change thousands of packages, and memory is per machine."""
    installs = Installs()
    told = [deliver(installs, (0, 100), path=f"{n}.deb") for n in range(300)]

    assert [len(each) for each in told] == [1] * 257 + [0] * 43
    assert installs.is_done(2, 7, "299.deb") and not installs.is_done(2, 8, "299.deb")


def test_machines_and_boardings_are_kept_apart():
    """The same file in the next release is another install."""
    installs = Installs()
    deliver(installs, (0, 50), machine=7)
    assert deliver(installs, (50, 100), machine=8) == []
    assert deliver(installs, (0, 100), machine=7, number=3) == [(3, 7, 9)]
    assert not installs.is_done(2, 7, "a.db")


def test_boardings_that_have_landed_are_forgotten():
    """Memory is for what is in flight; what was not told yet still is."""
    installs = Installs()
    installs.deliver(2, 7, "a.db", size=100, start=0, end=100, now=9)
    installs.deliver(2, 8, "a.db", size=100, start=0, end=50, now=9)
    installs.keep({3})

    assert installs.drain() == [(2, 7, 9)]
    assert not installs.is_done(2, 7, "a.db")
    assert deliver(installs, (50, 100), machine=8) == []
