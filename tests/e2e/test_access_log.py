"""The access log of a whole process: renamed under load, on a full disk, into a FIFO that nobody reads."""

from __future__ import annotations

import json
import os
import signal
import threading
from pathlib import Path
from typing import Any, Callable

import pytest

from tests.support import HttpUpstream, Mesh, RawClient, free_port, until

Start = Callable[..., Mesh]
Upstream = Callable[..., HttpUpstream]


def config(port: int, upstream: HttpUpstream, log: Any) -> str:
    return f"""
access_log: {{path: {log}, format: json}}
listeners:
  edge: {{protocol: http, bind: 127.0.0.1:{port}, routes: [{{name: all, to: api}}]}}
clusters:
  api: {{endpoints: ["{upstream.address}"]}}
"""


def ask(port: int, count: int, first: int = 0) -> None:
    with RawClient(port) as client:
        for number in range(first, first + count):
            client.send(f"GET /{number} HTTP/1.1\r\nHost: shop\r\n\r\n".encode())
            assert client.read_answer().status == 200


def paths(*files: Path) -> list[str]:
    return [json.loads(line)["path"] for each in files if each.exists() for line in each.read_text().splitlines()]


def test_a_log_that_is_renamed_under_load_loses_no_line(mesh: Start, http_upstream: Upstream, tmp_path: Path) -> None:
    port, log = free_port(), tmp_path / "access.log"
    sidecar = mesh(config(port, http_upstream(), log))
    clients = [threading.Thread(target=ask, args=(port, 300, 1000 * each)) for each in range(4)]
    for each in clients:
        each.start()
    files = [log]
    for turn in range(5):
        until(lambda: log.exists() and log.stat().st_size)
        files.append(tmp_path / f"access.log.{turn}")
        log.rename(files[-1])
        sidecar.signal(signal.SIGUSR1)
        if not any(each.is_alive() for each in clients):
            break
    for each in clients:
        each.join()
    until(lambda: len(paths(*files)) == 1200, "every call has a line")
    assert sorted(paths(*files)) == sorted(f"/{1000 * each + number}" for each in range(4) for number in range(300))
    # The thread counts a line once it is in the file.
    until(lambda: sidecar.metric("twisted_mesh_access_log_lines_total") == 1200)
    assert sidecar.metric("twisted_mesh_access_log_dropped_total") == 0


def test_lines_that_wait_are_written_at_the_end(mesh: Start, http_upstream: Upstream, tmp_path: Path) -> None:
    port, log = free_port(), tmp_path / "access.log"
    sidecar = mesh(config(port, http_upstream(), log) + "drain: {wait: 0s}\n")
    ask(port, 10)
    sidecar.signal(signal.SIGTERM)
    assert sidecar.wait() == 0
    assert paths(log) == [f"/{number}" for number in range(10)]


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs /dev/full")
def test_a_full_disk_costs_lines_and_says_so_once(mesh: Start, http_upstream: Upstream) -> None:
    port = free_port()
    sidecar = mesh(config(port, http_upstream(), "/dev/full") + "drain: {wait: 0s}\n")
    ask(port, 200)
    until(lambda: sidecar.metric("twisted_mesh_access_log_errors_total") > 1)
    ask(port, 200)
    assert sidecar.metric("twisted_mesh_downstream_calls_total", code="2xx") == 400
    assert sidecar.output().count("No space left on device") == 1
    sidecar.signal(signal.SIGTERM)
    assert sidecar.wait() == 0
    assert "400 lines lost" in sidecar.output()


def test_a_fifo_that_nobody_reads_holds_up_neither_calls_nor_the_end(
    mesh: Start, http_upstream: Upstream, tmp_path: Path
) -> None:
    port, fifo = free_port(), tmp_path / "fifo"
    os.mkfifo(fifo)
    sidecar = mesh(config(port, http_upstream(), fifo) + "drain: {wait: 0s}\n")
    ask(port, 100)
    with open(fifo) as reader:
        found = [json.loads(reader.readline())["path"] for _ in range(100)]
        assert found == [f"/{number}" for number in range(100)]
    ask(port, 100, 100)
    sidecar.signal(signal.SIGTERM)
    assert sidecar.wait() == 0
