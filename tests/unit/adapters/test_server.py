import json
import subprocess
import sys

PROGRAM = """
import json, resource, socket
from firedoor.adapters.server import HttpServer
resource.setrlimit(resource.RLIMIT_NOFILE, {limits})
with socket.create_server(("127.0.0.1", 0)) as listener:
    async def app(scope, receive, send): ...
    HttpServer(app, listener)
print(json.dumps(resource.getrlimit(resource.RLIMIT_NOFILE)))
"""


def limits_with_a_server(soft, hard):
    """Make a server in a process of its own with these limits; return those it has then."""
    program = PROGRAM.format(limits=(soft, hard))
    done = subprocess.run(
        [sys.executable, "-c", program], check=True, capture_output=True, text=True, timeout=60
    )
    return json.loads(done.stdout)


def test_a_server_may_open_as_many_descriptors_as_it_is_allowed_to():
    """Shells give a soft limit of 1,024, which as many slow clients would use up."""
    assert limits_with_a_server(512, 900) == [900, 900]
