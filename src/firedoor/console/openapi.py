"""The OpenAPI 3.1 document, made from the table of operations and the structs they carry."""

import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from importlib import metadata
from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from firedoor.console.problem import Problem

Handler = Callable[[Request], Awaitable[Response]]


@dataclass(frozen=True, slots=True)
class Parameter:
    """A parameter of an operation.

    Attributes:
        name: As it is written in the path or query.
        where: ``path`` or ``query``.
        kind: JSON type: ``string`` or ``integer``.
        says: What it means.
    """

    name: str
    where: str
    kind: str
    says: str


@dataclass(frozen=True, slots=True)
class Operation:
    """One method on one path.

    Attributes:
        method: ``GET`` or ``POST``.
        path: Path with the path parameters in braces.
        handler: What answers.
        says: What it does, in a sentence without a full stop.
        reply: Type of the JSON answer, or the media type of one that is not JSON of ours.
        body: Type of the JSON body, or None.
        parameters: Path and query parameters.
    """

    method: str
    path: str
    handler: Handler
    says: str
    reply: Any
    body: Any
    parameters: tuple[Parameter, ...]

    @classmethod
    def get(
        cls, path: str, handler: Handler, says: str, reply: Any, *parameters: Parameter
    ) -> "Operation":
        """An operation that reads."""
        return cls("GET", path, handler, says, reply, None, parameters)

    @classmethod
    def post(
        cls, path: str, handler: Handler, says: str, body: Any, reply: Any, *parameters: Parameter
    ) -> "Operation":
        """An operation that acts: it needs the token."""
        return cls("POST", path, handler, says, reply, body, parameters)


def document(operations: tuple[Operation, ...]) -> dict[str, Any]:
    """Describe the operations.

    Args:
        operations: All of them; two must not share method and path.

    Returns:
        The document as JSON values.
    """
    types = [Problem]
    types += [each.reply for each in operations if not isinstance(each.reply, str)]
    types += [each.body for each in operations if each.body is not None]
    schemas, components = msgspec.json.schema_components(
        types, ref_template="#/components/schemas/{name}"
    )
    schema = {_key(of): found for of, found in zip(types, schemas, strict=True)}
    paths: dict[str, dict[str, Any]] = {}
    for each in operations:
        paths.setdefault(each.path, {})[each.method.lower()] = _operation(each, schema)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Firedoor",
            "version": metadata.version("firedoor"),
            "summary": "What the doors do, and on what evidence.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "paths": paths,
        "components": {
            "schemas": components,
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        },
    }


def _operation(each: Operation, schema: dict[str, Any]) -> dict[str, Any]:
    if isinstance(each.reply, str):
        content: dict[str, Any] = {each.reply: {}}
    else:
        content = {"application/json": {"schema": schema[_key(each.reply)]}}
    found: dict[str, Any] = {
        "operationId": _name(each),
        "summary": each.says,
        "parameters": [
            {
                "name": parameter.name,
                "in": parameter.where,
                "required": parameter.where == "path",
                "description": parameter.says,
                "schema": {"type": parameter.kind},
            }
            for parameter in each.parameters
        ],
        "responses": {
            "200": {"description": "the answer", "content": content},
            "default": {
                "description": "a problem (RFC 9457)",
                "content": {"application/problem+json": {"schema": schema[_key(Problem)]}},
            },
        },
    }
    if each.body is not None:
        found["requestBody"] = {
            "required": True,
            "content": {"application/json": {"schema": schema[_key(each.body)]}},
        }
        security: list[dict[str, list[str]]] = [{"token": []}]
        found["security"] = security
    return found


def _key(of: Any) -> str:
    return repr(of)


def _name(each: Operation) -> str:
    words = re.findall(r"[a-z]+", each.path.replace("/api/", "/"))
    return "_".join([each.method.lower(), *words])
