"""Whether this host lets bubblewrap make a sandbox: some containers do not."""

import shutil
import subprocess

import pytest


def _can() -> bool:
    if shutil.which("bwrap") is None:
        return False
    words = ("bwrap", "--unshare-net", "--unshare-pid", "--ro-bind", "/", "/", "true")
    return subprocess.run(words, capture_output=True, timeout=30, check=False).returncode == 0


needs_sandbox = pytest.mark.skipif(not _can(), reason="bubblewrap can make no sandbox here")
