"""Forward proxies in front of the gate: who asks, when a trusted one asks for somebody.

Only the address changes. Who a machine is, its certificate or token says, and no proxy.
"""

from collections.abc import Awaitable, Callable, MutableMapping, Sequence
from functools import lru_cache
from ipaddress import IPv4Network, IPv6Network, ip_network
from typing import Any, Final

from firedoor.formats.forwarded import Address, client_of

_App = Callable[[Any, Any, Any], Awaitable[None]]
_REMEMBERED: Final = 4096


def behind_proxies(app: _App, proxies: Sequence[str]) -> _App:
    """The same application, told the address of the client that a trusted proxy asks for.

    Args:
        app: The application.
        proxies: Addresses and networks of those whose word is taken; nobody's if empty.
    """
    if not proxies:
        return app
    networks: list[IPv4Network | IPv6Network] = [ip_network(each) for each in proxies]

    @lru_cache(_REMEMBERED)
    def trusted(address: Address) -> bool:
        return any(address in network for network in networks)

    def answer(scope: MutableMapping[str, Any], receive: Any, send: Any) -> Awaitable[None]:
        client = scope["client"]
        if client is not None:
            scope["client"] = (client_of(client[0], scope["headers"], trusted), client[1])
        return app(scope, receive, send)

    return answer
