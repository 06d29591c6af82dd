"""The few shapes of ASGI that the gate needs; no framework stands between it and the server."""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

Header = tuple[bytes, bytes]
"""Name in lower case, value."""

Scope = Mapping[str, Any]
"""What the server says about one request. ASGI fixes no type for a value."""

Message = Mapping[str, Any]
"""One event of a request or reply. Some are shared between replies, so nobody may change one."""

Receive = Callable[[], Awaitable[Message]]
"""Wait for the next event of the request."""

Send = Callable[[Message], Awaitable[None]]
"""Hand the server the next event of the reply; returns when it has room for more."""
