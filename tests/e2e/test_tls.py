"""Listeners that speak TLS, in front of clients that others wrote: curl, redis-cli, redis-py, and Python's own."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import signal
import socket
import ssl
import subprocess
from pathlib import Path
from typing import Any, Iterator, Optional

import pytest
import redis
import redis.asyncio
from redis.backoff import NoBackoff
from redis.retry import Retry

from tests.servers import Server
from tests.support import PATIENCE, Mesh, free_ports, start_mesh, until
from tests.tls_front import Authority
from twisted_mesh.policy.acl import digest

CURL, REDIS_CLI = shutil.which("curl"), shutil.which("redis-cli")


class Secure:
    """A sidecar whose listeners speak TLS, in front of one Redis; certificates for it and for clients."""

    def __init__(self, server: Server, directory: Path) -> None:
        self.authority = Authority(directory)
        self.edge = self.authority.issue("edge", ["localhost", "127.0.0.1"], file="edge")
        self.app = self.authority.issue("app", ["spiffe://shop/app", "app.example"])
        self.other = self.authority.issue("other.example")
        self.log = directory / "access.log"
        self.web, self.cache, self.tunnel = free_ports(3)
        self.mesh: Mesh = start_mesh(self.config(server), directory)

    def config(self, server: Server) -> str:
        tls: dict[str, Any] = {"certificates": str(self.edge)}
        asked = {**tls, "client_ca": str(self.authority.ca)}
        users = [
            {"name": "app", "identities": "spiffe://shop/app", "read": ["a:", "b:"], "write": "b:"},
            {"name": "admin", "passwords": f"sha256:{digest(b'secret').hex()}"},
        ]
        routes = [
            {"match": {"identity": "spiffe://shop/app"}, "reply": {"body": "hello app"}},
            {"reply": {"body": "hello"}},
        ]
        return json.dumps(
            {
                "access_log": {"path": str(self.log)},
                "listeners": {
                    "web": {
                        "bind": f"127.0.0.1:{self.web}",
                        "tls": {**asked, "client_certificate": "optional"},
                        "routes": routes,
                    },
                    "cache": {
                        "protocol": "redis",
                        "bind": f"127.0.0.1:{self.cache}",
                        "tls": asked,
                        "redis": {"users": users},
                        "access_log": {"path": str(self.log), "calls": "all"},
                        "routes": [{"to": "servers"}],
                    },
                    "tunnel": {
                        "protocol": "tcp",
                        "bind": f"127.0.0.1:{self.tunnel}",
                        "tls": tls,
                        "routes": [{"to": "servers"}],
                    },
                },
                "clusters": {"servers": {"endpoints": [server.address]}},
            }
        )

    def client(self, certificate: Optional[Path], port: int = 0, **options: Any) -> Any:
        shown = {} if certificate is None else {"ssl_certfile": str(certificate), "ssl_keyfile": str(certificate)}
        return redis.Redis(
            "localhost",
            port or self.cache,
            ssl=True,
            ssl_ca_certs=str(self.authority.ca),
            socket_timeout=PATIENCE,
            decode_responses=True,
            **{**shown, **options},
        )

    def curl(self, *options: str) -> subprocess.CompletedProcess[str]:
        if CURL is None:
            pytest.skip("curl is not installed")
        command = [CURL, "-sS", "--noproxy", "*", "--cacert", str(self.authority.ca), *options]
        return subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, check=False)

    def connect(self, port: int) -> ssl.SSLSocket:
        context = ssl.create_default_context(cafile=str(self.authority.ca))
        sock = socket.create_connection(("127.0.0.1", port), timeout=PATIENCE)
        return context.wrap_socket(sock, server_hostname="localhost", suppress_ragged_eofs=False)

    def logged(self, **fields: Any) -> list[dict[str, Any]]:
        lines = [json.loads(each) for each in self.log.read_text().splitlines()] if self.log.exists() else []
        return [each for each in lines if fields.items() <= each.items()]


@pytest.fixture(scope="module")
def secure(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Secure]:
    server = Server().start()
    one = Secure(server, tmp_path_factory.mktemp("tls"))
    yield one
    one.mesh.stop()
    server.stop()


def test_curl(secure: Secure) -> None:
    """Without a certificate, with one, and with one that nobody knows; over both versions."""
    url = f"https://localhost:{secure.web}/"
    assert secure.curl(url).stdout == "hello"
    for version in ("1.2", "1.3"):
        options = ["--tlsv1.2", "--tls-max", version, "--cert", str(secure.app), "-w", " %{http_version}"]
        assert secure.curl(*options, url).stdout == "hello app 1.1"
    assert until(lambda: secure.logged(listener="web", identity="spiffe://shop/app"))
    foreign = Authority(secure.log.parent, "foreign").issue("stranger")
    assert secure.curl("--cert", str(foreign), url).returncode != 0
    assert secure.curl("--tls-max", "1.1", "--tlsv1.0", "--ciphers", "DEFAULT@SECLEVEL=0", url).returncode != 0
    assert secure.curl(f"http://localhost:{secure.web}/").returncode != 0
    for why in ("bad_certificate", "not_tls"):
        until(lambda why=why: secure.mesh.metric("twisted_mesh_downstream_tls_handshake_failures_total", why=why))
    assert "no TLS with 127.0.0.1:" in secure.mesh.output()


def test_redis_cli(secure: Secure) -> None:
    """A certificate is a login; AUTH is another; whoever shows none is not let in."""
    asked = [REDIS_CLI or "false", "--help"]
    shown = subprocess.run(asked, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    if REDIS_CLI is None or "--tls" not in shown.stdout:
        pytest.skip("redis-cli is not installed, or speaks no TLS")
    start = [REDIS_CLI, "-h", "localhost", "-p", str(secure.cache), "--tls", "--cacert", str(secure.authority.ca)]

    def said(*words: str, certificate: Optional[Path] = secure.app, more: str = "") -> str:
        shown = ["--cert", str(certificate), "--key", str(certificate)] if certificate else []
        done = subprocess.run(
            [*start, *shown, *words], input=more, capture_output=True, text=True, timeout=PATIENCE, check=False
        )
        return done.stdout + done.stderr

    assert said("ACL", "WHOAMI").strip() == "app"
    assert said("SET", "b:1", "x").strip() == "OK" and said("GET", "b:1").strip() == "x"
    assert "NOPERM No permissions to access a key" in said("SET", "a:1", "x")
    assert said(more="AUTH admin secret\nSET a:1 y\nACL WHOAMI\nRESET\nACL WHOAMI\n").split() == (
        ["OK", "OK", "admin", "RESET", "app"]
    )
    assert "NOAUTH" in said("GET", "b:1", certificate=secure.other)
    assert "PONG" not in said("PING", certificate=None)


@pytest.mark.parametrize("protocol", [2, 3])
def test_redis_py(secure: Secure, protocol: int) -> None:
    """Small and large values, pipelines, transactions, messages."""
    with secure.client(secure.app, protocol=protocol) as client:
        assert client.acl_whoami() == "app"
        large = "x" * (3 << 20)
        assert client.set("b:large", large) and client.get("b:large") == large
        pipeline = client.pipeline(transaction=False)
        for at in range(500):
            pipeline.set(f"b:{at}", at).get(f"b:{at}")
        assert pipeline.execute() == [each for at in range(500) for each in (True, str(at))]
        assert client.pipeline().incr("b:n").delete("b:n").execute() == [1, 1]
        with client.pubsub() as listening:
            listening.subscribe("news")
            until(lambda: (listening.get_message(timeout=1) or {}).get("type") == "subscribe")
            client.publish("news", "today")
            assert until(lambda: listening.get_message(timeout=1))["data"] == "today"
        with pytest.raises(redis.exceptions.NoPermissionError):
            client.set("a:1", "x")
    with secure.client(secure.other, username="admin", password="secret", protocol=protocol) as client:
        assert client.acl_whoami() == "admin" and client.set("a:1", "x")
    assert until(lambda: secure.logged(listener="cache", identity="app"))
    assert until(lambda: secure.logged(listener="cache", identity="admin"))
    with pytest.raises(redis.exceptions.ConnectionError):
        secure.client(None, protocol=protocol, retry=Retry(NoBackoff(), 0)).ping()


def test_redis_py_with_asyncio(secure: Secure) -> None:
    async def go() -> Any:
        client = redis.asyncio.Redis(
            host="localhost",
            port=secure.cache,
            ssl=True,
            ssl_ca_certs=str(secure.authority.ca),
            ssl_certfile=str(secure.app),
            ssl_keyfile=str(secure.app),
        )
        async with client:
            await asyncio.gather(*(client.set(f"b:{at}", at) for at in range(10)))
            return await client.mget([f"b:{at}" for at in range(10)])

    assert asyncio.run(go()) == [b"%d" % at for at in range(10)]


def test_a_tunnel(secure: Secure) -> None:
    """TLS ends at a listener of tcp: the server behind it speaks in plain."""
    with secure.client(None, port=secure.tunnel) as client:
        large = "y" * (3 << 20)
        assert client.set("t", large) and client.get("t") == large
    with secure.connect(secure.tunnel) as sock:
        sock.sendall(b"PING\r\nQUIT\r\n")
        found = b""
        while piece := sock.recv(100):
            found += piece
        assert found == b"+PONG\r\n+OK\r\n"


def test_certificates_are_exchanged_under_open_connections(secure: Secure) -> None:
    """New files are shown to those who come, by themselves and at SIGHUP; who is connected goes on."""

    def shown() -> str:
        with secure.connect(secure.web) as sock:
            certificate: Any = sock.getpeercert()
        return str(dict(each[0] for each in certificate["subject"])["commonName"])

    with secure.connect(secure.web) as before, secure.client(secure.app) as client:
        assert client.ping()
        assert shown() == "edge"
        secure.authority.issue("edge two", ["localhost", "127.0.0.1"], file="edge")
        until(lambda: shown() == "edge two")
        reads = "twisted_mesh_downstream_tls_certificate_reads_total"
        until(lambda: secure.mesh.metric(reads, result="taken") == 3)
        secure.authority.issue("edge three", ["localhost", "127.0.0.1"], file="edge")
        secure.mesh.signal(signal.SIGHUP)
        until(lambda: shown() == "edge three")
        assert client.ping() and secure.client(secure.app).ping()
        before.sendall(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        assert before.recv(100).startswith(b"HTTP/1.1 200 OK\r\n")
    expiry = "twisted_mesh_downstream_tls_certificate_expiry_timestamp_seconds"
    assert secure.mesh.metric(expiry, listener="web", certificate="0") == 4102444800


def test_a_drain_ends_clients_of_tls_in_order(tmp_path: Path) -> None:
    """Who is idle sees a close_notify; a handshake that has begun is waited for."""
    server = Server().start()
    try:
        one = Secure(server, tmp_path)
        with one.connect(one.web) as idle, one.client(one.app, single_connection_client=True) as client:
            assert client.ping()
            begun = socket.create_connection(("127.0.0.1", one.cache), timeout=PATIENCE)
            until(lambda: json.loads(one.mesh.get("/listeners?format=json").text)["listeners"][1]["tls"]["handshakes"])
            one.mesh.signal(signal.SIGTERM)
            # An end without a close_notify would be an error.
            assert idle.recv(1) == b""
            begun.close()
            assert one.mesh.wait() == 0
    finally:
        one.mesh.stop()
        server.stop()


def test_no_key_is_shown(secure: Secure) -> None:
    """What the admin shows of the configuration names files and holds no keys."""
    text = secure.mesh.get("/config").text
    assert str(secure.edge) in text and "PRIVATE" not in text
    assert os.path.exists(secure.edge)
