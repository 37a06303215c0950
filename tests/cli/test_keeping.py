"""``meshctl register --keep``."""

from __future__ import annotations

import signal
import subprocess
import sys

import pytest

from tests.servers import Server
from tests.support import PATIENCE, environment, until


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_lease_is_renewed_until_the_end(bus_server: Server, number: int) -> None:
    bus_server.flush()
    command = [
        sys.executable,
        "-m",
        "twisted_mesh.cli.main",
        "register",
        "web",
        "127.0.0.1:80",
        "--keep",
        "--lease",
        "600ms",
    ]
    env = environment(MESHCTL_REDIS=bus_server.url)
    process = subprocess.Popen(command, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    def ids() -> list[bytes]:
        return [key for key in bus_server("KEYS", "mesh:{default}:service:web*") if bus_server("TYPE", key) == b"zset"]

    def ends() -> float:
        return max(float(bus_server("ZSCORE", key, "127.0.0.1:80") or 0) for key in ids())

    try:
        first = until(ends)
        until(lambda: ends() > first + 500, "several heartbeats")
        process.send_signal(number)
        out, err = process.communicate(timeout=PATIENCE)
    finally:
        process.kill()
        process.wait(PATIENCE)
    assert (process.returncode, err) == (0, "")
    assert out == "web/127.0.0.1:80 at 127.0.0.1 (http 80): registered for 0.6 s\n"
    assert not any(bus_server("ZSCORE", key, "127.0.0.1:80") for key in ids())
