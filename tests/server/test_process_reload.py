"""A configuration that changes under a process that serves."""

from __future__ import annotations

import os
import signal
import threading
from functools import partial
from pathlib import Path
from typing import Any

from tests.support import RawClient, connect, free_port, free_ports, request, until

GET = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
# Between two requests of a client: a change is read while the processors have nothing else to do, or seconds later.
BREATH = 0.002


def config(listeners: dict[str, int], upstream: str, more: str = "") -> str:
    lines = [f"  {name}: {{bind: '127.0.0.1:{port}', routes: [{{to: web}}]}}" for name, port in listeners.items()]
    return "\n".join(["listeners:", *lines, f"clusters: {{web: {{endpoints: ['{upstream}']}}}}", more])


def replace(path: Path, text: str) -> None:
    """Change a file as editors do: write a new one and rename it."""
    other = path.with_suffix(".new")
    other.write_text(text)
    os.replace(other, path)


def test_sighup_applies_what_has_changed(mesh: Any, http_upstream: Any) -> None:
    port, one, two = free_port(), http_upstream("one"), http_upstream("two")
    running = mesh(config({"edge": port}, one.address))
    assert request(port).text == "one /"
    replace(running.config, config({"edge": port}, two.address))
    running.signal(signal.SIGHUP)
    until(lambda: request(port).text == "two /")
    assert running.metric("twisted_mesh_config_reloads_total", result="applied") == 2
    assert running.metric("twisted_mesh_config_version") == 2


def test_a_changed_file_is_noticed_by_itself(mesh: Any, http_upstream: Any) -> None:
    port, one, two = free_port(), http_upstream("one"), http_upstream("two")
    running = mesh(config({"edge": port}, one.address))
    replace(running.config, config({"edge": port}, two.address))
    until(lambda: request(port).text == "two /")


def test_a_bad_change_changes_nothing_and_says_why(mesh: Any, http_upstream: Any) -> None:
    port, one = free_port(), http_upstream("one")
    good = config({"edge": port}, one.address)
    running = mesh(good)
    replace(running.config, good.replace("to: web", "to: wbe"))
    running.signal(signal.SIGHUP)
    until(lambda: running.metric("twisted_mesh_config_rejected_total") == 1)
    until(lambda: "mesh.yaml:2:" in running.output() and "wbe" in running.output())
    assert request(port).text == "one /"
    assert running.metric("twisted_mesh_config_version") == 1
    # And it gets out of that again.
    replace(running.config, good)
    running.signal(signal.SIGHUP)
    until(lambda: running.metric("twisted_mesh_config_reloads_total", result="unchanged") >= 1)


def test_a_socket_that_cannot_be_opened_refuses_the_whole_change(mesh: Any, http_upstream: Any) -> None:
    port, other, one, two = free_port(), free_port(), http_upstream("one"), http_upstream("two")
    running = mesh(config({"edge": port}, one.address))
    taken = connect_listening()
    replace(running.config, config({"edge": port, "new": other, "bad": taken[1]}, two.address))
    running.signal(signal.SIGHUP)
    until(lambda: running.metric("twisted_mesh_config_rejected_total") == 1)
    assert f"listeners.bad.bind[0]: cannot listen on 127.0.0.1:{taken[1]}: the address is in use" in running.output()
    assert request(port).text == "one /"
    assert refused(other)
    taken[0].close()


def connect_listening() -> tuple[Any, int]:
    import socket

    sock = socket.socket()
    sock.bind(("127.0.0.1", 0))
    sock.listen()
    return sock, sock.getsockname()[1]


def refused(port: int) -> bool:
    try:
        connect(port).close()
    except ConnectionRefusedError:
        return True
    return False


def test_listeners_come_and_go(mesh: Any, http_upstream: Any) -> None:
    (first, second), one = free_ports(2), http_upstream("one")
    running = mesh(config({"first": first}, one.address))
    with RawClient(first) as busy, RawClient(first) as idle:
        idle.send(GET)
        idle.read_answer()
        one.hold.clear()
        busy.send(GET)
        until(lambda: len(one.seen) == 2)
        replace(running.config, config({"second": second}, one.address))
        running.signal(signal.SIGHUP)
        until(lambda: refused(first))
        # What is idle goes; what is in flight ends.
        assert idle.read_to_end() == b""
        one.hold.set()
        answer = busy.read_answer()
        assert (answer.status, answer.header("connection")) == (200, "close")
    assert request(second).text == "one /"


def test_a_listener_that_is_renamed_keeps_its_socket(mesh: Any, http_upstream: Any) -> None:
    """Clients that wait to be accepted while it happens are served."""
    port, one = free_port(), http_upstream("one")
    running = mesh(config({"before": port}, one.address))
    inode = listening_inode(running, port)
    replace(running.config, config({"after": port}, one.address))
    running.signal(signal.SIGHUP)
    until(lambda: "after" in running.get("/listeners").text)
    assert request(port).text == "one /"
    assert listening_inode(running, port) == inode


def has_version(running: Any, version: int) -> bool:
    return bool(running.metric("twisted_mesh_config_version") == version)


def listening_inode(running: Any, port: int) -> str:
    """Which socket listens on a port, by the kernel's number for it."""
    for line in Path(f"/proc/{running.pid}/net/tcp").read_text().splitlines()[1:]:
        fields = line.split()
        if fields[1].endswith(f":{port:04X}") and fields[3] == "0A":
            return fields[9]
    raise AssertionError(f"nobody listens on {port}")


def test_endpoints_keep_their_state(mesh: Any, http_upstream: Any) -> None:
    """Their counts, and the connections to them: a change of the cluster's timeout does not reconnect."""
    port, one = free_port(), http_upstream("one")
    text = config({"edge": port}, one.address)
    running = mesh(text)
    for _ in range(3):
        request(port)
    replace(running.config, text.replace("endpoints:", "connect_timeout: 2s, endpoints:"))
    running.signal(signal.SIGHUP)
    until(lambda: running.metric("twisted_mesh_config_version") == 2)
    request(port)
    assert running.metric("twisted_mesh_upstream_connects_total", cluster="web") == 1


def test_no_call_is_lost_by_reloading_under_load(mesh: Any, http_upstream: Any) -> None:
    """Keep-alive clients that never retry, while upstreams, routes, filters and listeners change ten times."""
    port, extra, one, two = free_port(), free_port(), http_upstream("one"), http_upstream("two")
    plain = config({"edge": port}, one.address)
    versions = [
        config({"edge": port}, two.address),
        config({"edge": port, "extra": extra}, one.address),
        plain.replace("routes:", "filters: [{headers: {request: {set: {x-a: b}}}}], routes:"),
        plain.replace("to: web", "to: web, timeout: 9s"),
        plain.replace("endpoints:", "balance: round_robin, endpoints:"),
    ]
    running = mesh(plain)
    stop = threading.Event()
    answered, failures = [0] * 4, []

    def hammer(at: int) -> None:
        try:
            with RawClient(port) as client:
                while not stop.is_set():
                    client.send(GET)
                    answer = client.read_answer()
                    assert answer.status == 200, answer
                    answered[at] += 1
                    stop.wait(BREATH)
        except Exception as error:
            failures.append(error)

    threads = [threading.Thread(target=hammer, args=(at,)) for at in range(4)]
    for each in threads:
        each.start()
    for version, text in enumerate(versions * 2, 2):
        replace(running.config, text)
        running.signal(signal.SIGHUP)
        until(partial(has_version, running, version))
    stop.set()
    for each in threads:
        each.join(30)
    assert failures == []
    assert len(one.seen) + len(two.seen) == sum(answered)
    assert running.metric("twisted_mesh_downstream_calls_total", listener="edge") == sum(answered)


def test_removed_listeners_and_clusters_leave_the_metrics(mesh: Any, http_upstream: Any) -> None:
    (first, second), one = free_ports(2), http_upstream("one")
    running = mesh(config({"first": first, "second": second}, one.address))
    request(first)
    request(second)
    assert running.metric("twisted_mesh_downstream_calls_total", listener="first") == 1
    replace(running.config, config({"second": second}, one.address))
    running.signal(signal.SIGHUP)
    until(lambda: 'listener="first"' not in running.get("/metrics").text)
    assert running.metric("twisted_mesh_downstream_calls_total", listener="second") == 1


def test_a_bind_becomes_wider_and_the_sidecar_has_another_name(mesh: Any, http_upstream: Any) -> None:
    """Both in one change, on the port that is in use, without a refused connection."""
    port, upstream = free_port(), http_upstream("a")
    text = """
node: {{id: {node}}}
listeners: {{edge: {{bind: '{host}:{port}', routes: [{{to: web}}]}}}}
clusters: {{web: {{endpoints: ['{upstream}']}}}}
"""
    running = mesh(text.format(node="one", host="127.0.0.1", port=port, upstream=upstream.address))
    request(port)
    running.config.write_text(text.format(node="two", host="0.0.0.0", port=port, upstream=upstream.address))
    running.signal(signal.SIGHUP)
    until(lambda: running.metric("twisted_mesh_info", node="two") == 1)
    assert running.metric("twisted_mesh_info", node="one") == 0
    request(("127.0.0.2", port))
    assert [each.header("via") for each in upstream.seen] == ["1.1 one", "1.1 two"]
