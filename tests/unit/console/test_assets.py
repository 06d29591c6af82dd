import pytest
from tests.unit.console import scenes
from tests.unit.console.asking import console, get


def test_a_static_file_is_revalidated_not_resent():
    """The page stays quick, and an upgrade shows at once."""
    app = console(scenes.nothing())

    first = get(app, "/static/console.css")
    again = get(app, "/static/console.css", if_none_match=first.headers["etag"])

    assert (first.status, again.status) == (200, 304)
    assert first.headers["content-type"].startswith("text/css")
    assert again.body == b""


@pytest.mark.parametrize("name", ["..", "../app.py", "%2e%2e%2fapp.py", "app.py", ""])
def test_nothing_but_the_files_there_are_is_served(name):
    """What a request says never becomes a path on the disk."""
    assert get(console(scenes.nothing()), f"/static/{name}").status == 404
