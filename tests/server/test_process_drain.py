"""The end of a process that serves: what is in flight finishes, what comes late is told so, and the status says how."""

from __future__ import annotations

import os
import signal
import threading
from pathlib import Path
from typing import Any

import pytest

from tests.support import RawClient, TcpUpstream, connect, free_port, request, until

GET = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"


def config(port: int, upstream: str, wait: str = "0s", limit: str = "30s") -> str:
    return f"""
drain: {{wait: {wait}, limit: {limit}}}
listeners: {{edge: {{bind: '127.0.0.1:{port}', routes: [{{to: web}}]}}}}
clusters: {{web: {{endpoints: ['{upstream}']}}}}
"""


def refused(port: int) -> bool:
    try:
        connect(port).close()
    except ConnectionRefusedError:
        return True
    return False


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_call_in_flight_finishes_and_the_status_is_0(number: int, mesh: Any, http_upstream: Any) -> None:
    port, upstream = free_port(), http_upstream("a")
    running = mesh(config(port, upstream.address))
    with RawClient(port) as idle, RawClient(port) as busy:
        idle.send(GET)
        assert idle.read_answer().header("connection") is None
        upstream.hold.clear()
        busy.send(GET)
        until(lambda: len(upstream.seen) == 2)
        running.signal(number)
        # What is idle goes, and nobody new comes in, while the call still waits.
        assert idle.read_to_end() == b""
        until(lambda: refused(port))
        assert running.process.poll() is None
        upstream.hold.set()
        answer = busy.read_answer()
        assert (answer.status, answer.text, answer.header("connection")) == (200, "a /", "close")
        assert busy.read_to_end() == b""
    assert running.wait() == 0


def test_ready_fails_at_once_and_the_doors_stay_open_for_a_while(mesh: Any, http_upstream: Any) -> None:
    port, upstream = free_port(), http_upstream("a")
    running = mesh(config(port, upstream.address, wait="60s"))
    assert running.get("/ready").status == 200
    running.signal(signal.SIGTERM)
    until(lambda: running.get("/ready").status == 503)
    assert running.get("/live").status == 200
    assert request(port).text == "a /"
    running.signal(signal.SIGTERM)
    assert running.wait() == 0


def test_answers_say_that_the_connection_closes_from_the_beginning(mesh: Any, http_upstream: Any) -> None:
    """A client that asks all the time has gone before its connection would close under a request."""
    port, upstream = free_port(), http_upstream("a")
    running = mesh(config(port, upstream.address, wait="60s"))
    with RawClient(port) as client, RawClient(port) as idle:
        client.send(GET)
        assert client.read_answer().header("connection") is None
        running.signal(signal.SIGTERM)
        until(lambda: running.get("/ready").status == 503)
        client.send(GET)
        answer = client.read_answer()
        assert (answer.text, answer.header("connection")) == ("a /", "close")
        assert client.read_to_end() == b""
        # What rests stays, and may still ask.
        idle.send(GET)
        assert idle.read_answer().header("connection") == "close"
        running.signal(signal.SIGTERM)
    assert running.wait() == 0


def test_at_the_limit_the_rest_is_cut_and_the_status_is_1(mesh: Any, http_upstream: Any) -> None:
    port, upstream = free_port(), http_upstream("a")
    running = mesh(config(port, upstream.address, limit="300ms"))
    upstream.hold.clear()
    with RawClient(port) as client:
        client.send(GET)
        until(lambda: upstream.seen)
        running.signal(signal.SIGTERM)
        assert running.wait() == 1
        # Nothing of an answer had gone out yet, so the client is told.
        answer = client.read_answer()
        assert (answer.status, answer.header("connection")) == (503, "close")


def test_a_second_sigterm_ends_it_at_once(mesh: Any, http_upstream: Any) -> None:
    port, upstream = free_port(), http_upstream("a")
    running = mesh(config(port, upstream.address))
    upstream.hold.clear()
    with RawClient(port) as client:
        client.send(GET)
        until(lambda: upstream.seen)
        running.signal(signal.SIGTERM)
        until(lambda: refused(port))
        running.signal(signal.SIGTERM)
        assert running.wait() == 1
    assert "Traceback" not in running.output()


def test_a_body_that_flows_is_not_cut(mesh: Any, tcp_upstream: Any) -> None:
    """Also one that takes longer than the answer's head."""
    go = threading.Event()

    def talk(client: RawClient) -> None:
        client.read_until(b"\r\n\r\n")
        client.send(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nfirst")
        go.wait(30)
        client.send(b"later")

    port, upstream = free_port(), tcp_upstream(talk)
    running = mesh(config(port, upstream.address))
    with RawClient(port) as client:
        client.send(GET)
        client.read_until(b"first")
        running.signal(signal.SIGTERM)
        until(lambda: refused(port))
        go.set()
        assert client.read_exactly(5) == b"later"
        assert client.read_to_end() == b""
    assert running.wait() == 0


def test_what_waits_in_the_backlog_is_served(mesh: Any, http_upstream: Any) -> None:
    """The process stands still while clients connect and the signal is sent, so that all of them wait."""
    port, upstream = free_port(), http_upstream("a")
    running = mesh(config(port, upstream.address))
    os.kill(running.pid, signal.SIGSTOP)
    clients = [RawClient(port) for _ in range(50)]
    try:
        for each in clients[:25]:
            each.send(GET)
        running.signal(signal.SIGTERM)
        os.kill(running.pid, signal.SIGCONT)
        for each in clients[:25]:
            assert each.read_answer().status == 200
        # Those that are slower with their request are served as well.
        for each in clients[25:]:
            each.send(GET)
            assert each.read_answer().status == 200
    finally:
        for each in clients:
            each.close()
    assert running.wait() == 0


def test_the_admin_can_ask_for_it(mesh: Any, http_upstream: Any) -> None:
    port, upstream = free_port(), http_upstream("a")
    running = mesh(config(port, upstream.address))
    assert running.get("/drain").status == 405
    assert running.get("/drain", "POST").status in (200, 202)
    assert running.wait() == 0


def test_a_tunnel_lasts_until_it_ends(mesh: Any, tcp_upstream: Any) -> None:
    port = free_port()
    upstream: TcpUpstream = tcp_upstream()
    text = config(port, upstream.address).replace("edge: {", "edge: {protocol: tcp, ")
    running = mesh(text)
    with RawClient(port) as client:
        client.send(b"hello")
        assert client.read_exactly(5) == b"hello"
        running.signal(signal.SIGTERM)
        until(lambda: refused(port))
        client.send(b"still here")
        assert client.read_exactly(10) == b"still here"
        client.half_close()
        assert client.read_to_end() == b""
    assert running.wait() == 0


def test_a_reload_is_not_begun_while_draining(mesh: Any, http_upstream: Any, tmp_path: Path) -> None:
    port, upstream = free_port(), http_upstream("a")
    running = mesh(config(port, upstream.address))
    upstream.hold.clear()
    with RawClient(port) as client:
        client.send(GET)
        until(lambda: upstream.seen)
        running.signal(signal.SIGTERM)
        until(lambda: refused(port))
        running.signal(signal.SIGHUP)
        until(lambda: "not reloading" in running.output())
        assert refused(port)
        upstream.hold.set()
        assert client.read_answer().status == 200
    assert running.wait() == 0


def test_no_call_is_lost_by_draining_under_load(mesh: Any, http_upstream: Any) -> None:
    """Clients that never retry: each call that was sent on a connection that was not closed yet is answered.

    A client that sees ``Connection: close``, or the end of its idle connection, connects again; it is then refused, or
    served by the backlog.
    """
    port, upstream = free_port(), http_upstream("a")
    running = mesh(config(port, upstream.address, wait="100ms"))
    sent, answered, cut = [0] * 8, [0] * 8, [0] * 8

    def hammer(at: int) -> None:
        while True:
            try:
                client = RawClient(port)
            except OSError:
                return
            with client:
                if not converse(at, client):
                    return

    def converse(at: int, client: RawClient) -> bool:
        """Returns whether to connect again."""
        while True:
            try:
                client.send(GET)
            except OSError:
                return True
            sent[at] += 1
            try:
                answer = client.read_answer()
            except (EOFError, OSError):
                # It was idle when it was closed, and the request crossed the close.
                cut[at] += 1
                return True
            assert answer.status == 200
            answered[at] += 1
            if answer.header("connection") == "close":
                return True

    threads = [threading.Thread(target=hammer, args=(at,)) for at in range(8)]
    for each in threads:
        each.start()
    until(lambda: sum(answered) > 500)
    running.signal(signal.SIGTERM)
    for each in threads:
        each.join(30)
    assert running.wait() == 0
    assert sum(sent) == sum(answered) + sum(cut)
    # Only what crossed the close of an idle connection can be cut: at most once for each of the clients.
    assert sum(cut) <= 8
    assert len(upstream.seen) == sum(answered)
