"""The handful of static files, held in memory: nothing a request says becomes a path."""

import hashlib
from dataclasses import dataclass
from importlib import resources
from typing import Final

from starlette.requests import Request
from starlette.responses import Response

from firedoor.core.errors import NotFound

_TYPES: Final = {
    "css": "text/css; charset=utf-8",
    "js": "text/javascript; charset=utf-8",
    "svg": "image/svg+xml",
}


@dataclass(frozen=True, slots=True)
class Asset:
    """One file.

    Attributes:
        body: Its bytes.
        media_type: From its suffix.
        etag: Strong validator.
    """

    body: bytes
    media_type: str
    etag: str


class Assets:
    """All files of ``static/``, read once."""

    def __init__(self) -> None:
        folder = resources.files("firedoor.console") / "static"
        self._assets = {
            file.name: _asset(file.name, file.read_bytes())
            for file in folder.iterdir()
            if file.is_file()
        }

    async def serve(self, request: Request) -> Response:
        """Answer with one file, or 304 if the client holds it."""
        asset = self._assets.get(request.path_params["name"])
        if asset is None:
            raise NotFound("no such file")
        headers = {"ETag": asset.etag, "Cache-Control": "no-cache"}
        if request.headers.get("if-none-match") == asset.etag:
            return Response(status_code=304, headers=headers)
        return Response(asset.body, media_type=asset.media_type, headers=headers)


def _asset(name: str, body: bytes) -> Asset:
    return Asset(body, _TYPES[name.rpartition(".")[2]], f'"{hashlib.sha256(body).hexdigest()}"')
