import json
import re
from pathlib import Path

import pytest
from tests.unit.console import scenes
from tests.unit.console.asking import console, get

from firedoor.console.api import Api
from firedoor.console.live import Live

REFERENCE = Path(__file__).parents[3] / "docs" / "reference" / "api.md"

WORLD = scenes.opening()
API = Api(WORLD, WORLD, Live(WORLD))
OPERATIONS = API.operations()


def test_every_route_is_in_the_document():
    """A path that is not described does not exist for other people's tools."""
    document = get(console(scenes.nothing()), "/openapi.json").json

    routes = {
        (route.path, method)
        for route in API.routes()
        for method in route.methods or ()
        if method != "HEAD"
    }
    described = {
        (path, method.upper()) for path, methods in document["paths"].items() for method in methods
    }
    assert routes == described


def test_every_reference_in_the_document_resolves():
    """Generators of clients stop at the first dangling one."""
    document = get(console(scenes.nothing()), "/openapi.json").json

    wanted = set(re.findall(r'"#/components/schemas/([^"]+)"', json.dumps(document)))
    assert wanted <= document["components"]["schemas"].keys()
    assert "ReleaseReply" in wanted


def test_every_operation_has_a_name_of_its_own():
    """Generated clients make a function of each."""
    paths = get(console(scenes.nothing()), "/openapi.json").json["paths"]

    names = [each["operationId"] for methods in paths.values() for each in methods.values()]
    assert len(names) == len(set(names))


@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda each: f"{each.method} {each.path}")
def test_every_path_parameter_is_described(operation):
    """And nothing is described that the path does not have."""
    written = set(re.findall(r"{(\w+)}", operation.path))

    assert written == {each.name for each in operation.parameters if each.where == "path"}


@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda each: f"{each.method} {each.path}")
def test_only_acting_asks_for_a_body_and_a_token(operation):
    """What reads has no effect, what acts is authorised."""
    assert (operation.method == "POST") == (operation.body is not None)


@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda each: f"{each.method} {each.path}")
def test_every_operation_stands_in_the_reference(operation):
    """The page people read and the table the routes are made from are the same list."""
    assert f"`{operation.method} {operation.path}`" in REFERENCE.read_text(encoding="utf-8")
