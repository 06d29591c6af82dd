"""Children: a module of the tests as a process of its own, which says where it listens."""

import contextlib
import json
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

Child = tuple["subprocess.Popen[str]", int]
"""A process, and the port it listens on."""


@contextlib.contextmanager
def running(module: str, *arguments: str, prefix: Sequence[str] = ()) -> Iterator[Child]:
    """Run ``python -m module``, after the words of ``prefix``; end it whatever happens.

    Its first line says the port, ``{"port": 12345}``.
    """
    process = subprocess.Popen(
        [*prefix, sys.executable, "-m", module, *arguments],
        stdout=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parent.parent,
    )
    try:
        assert process.stdout is not None
        yield process, json.loads(process.stdout.readline())["port"]
    finally:
        process.terminate()
        process.communicate(timeout=20)
