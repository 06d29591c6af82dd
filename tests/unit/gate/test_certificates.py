"""A client that shows a certificate, alone or beside a token."""

import asyncio

import pytest
from tests.unit.gate.test_app import Reply, Site, _never, basic

from firedoor.ports import CERTIFICATE, Certificate

TILL, THIEF = Certificate("till-1", "aa"), Certificate("nobody", "bb")
ORDER = ("certificate", "basic", "path")


@pytest.mark.parametrize(
    ("certificate", "token", "path", "status"),
    [
        (TILL, False, "/av/index", 200),
        (THIEF, False, "/av/index", 401),
        (THIEF, True, "/av/index", 200),
        (TILL, True, "/av/index", 200),
        (TILL, False, "/m/fdr_wrong/av/index", 200),
        (None, False, "/av/index", 401),
    ],
)
def test_the_first_that_names_a_machine_counts(tmp_path, certificate, token, path, status):
    """A host of a large company has a certificate of its own, which names no machine of ours."""

    async def scene():
        site = Site(tmp_path, identify=ORDER)
        site.publish(1)
        await site.gate.start()
        reply = Reply()
        headers = []
        if token:
            headers = [(b"authorization", basic("till-1", site.till.read).encode())]
        scope = {
            "type": "http",
            "method": "GET",
            "path": path,
            "headers": headers,
            "client": ("127.0.0.1", "40000"),
            "extensions": {},
            CERTIFICATE: certificate,
        }
        await site.gate(scope, _never, reply.send)
        await site.gate.stop()
        site.close()
        return reply.status

    assert asyncio.run(scene()) == status
