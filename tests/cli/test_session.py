"""Which Redis and which mesh a command talks to, and what it says if that cannot be."""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.conftest import Meshctl
from tests.servers import Server
from tests.support import environment, free_port
from tests.tls_front import Authority, TlsFront
from twisted_mesh.cli.failure import Failure
from twisted_mesh.cli.session import author_of, mesh_of


def given(**options: str) -> argparse.Namespace:
    return argparse.Namespace(**{**dict.fromkeys(("redis", "mesh", "ca", "certificate", "key")), **options})


def test_options_come_before_the_environment() -> None:
    env = {"MESHCTL_REDIS": "redis://b:1", "MESHCTL_MESH": "shop"}
    settings, name = mesh_of(given(), env)
    assert (settings.url.shown, name) == ("redis://b:1/0", "shop")
    settings, name = mesh_of(given(redis="redis://a:2", mesh="x"), env)
    assert (settings.url.shown, name) == ("redis://a:2/0", "x")
    assert mesh_of(given(redis="redis://a"), {})[1] == "default"


def test_certificates(tmp_path: Path) -> None:
    settings, _ = mesh_of(given(redis="rediss://a", ca="ca.pem"), {"MESHCTL_KEY": "/k", "MESHCTL_CERTIFICATE": "/c"})
    assert (settings.ca, settings.key, settings.certificate) == (str(Path.cwd() / "ca.pem"), "/k", "/c")
    with pytest.raises(Failure) as caught:
        mesh_of(given(redis="redis://a", ca="ca.pem"), {})
    assert str(caught.value) == "--redis: ca is for TLS, that is rediss://"


@pytest.mark.parametrize(
    ("options", "env", "line"),
    [
        ({}, {}, "say where the Redis of the mesh is: --redis URL, or MESHCTL_REDIS in the environment"),
        ({"redis": "x:y"}, {}, "--redis: expected a Redis such as"),
        ({}, {"MESHCTL_REDIS": "x:y"}, "MESHCTL_REDIS: expected a Redis such as"),
        ({"redis": "redis://a", "mesh": "a b"}, {}, "--mesh: expected a name"),
        ({"redis": "redis://a"}, {"MESHCTL_MESH": "a b"}, "MESHCTL_MESH: expected a name"),
    ],
)
def test_what_makes_no_sense(options: dict[str, str], env: dict[str, str], line: str) -> None:
    with pytest.raises(Failure) as caught:
        mesh_of(given(**options), env)
    assert str(caught.value).startswith(line)
    assert caught.value.status == 2


def test_who_changes_something() -> None:
    assert author_of(argparse.Namespace(author="bob"), {"MESHCTL_AUTHOR": "ann"}) == "bob"
    assert author_of(argparse.Namespace(author=None), {"MESHCTL_AUTHOR": "ann"}) == "ann"
    assert "@" in author_of(argparse.Namespace(author=None), {})


def test_tls_with_a_certificate_of_its_own(meshctl: Meshctl, bus_server: Server, tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    front = TlsFront(bus_server.port, authority.issue("server", ["127.0.0.1"]), authority.ca)
    try:
        url = f"rediss://{front.address}"
        own = str(authority.issue("meshctl"))
        meshctl("--redis", url, "--ca", str(authority.ca), "--certificate", own, "register", "web", "127.0.0.1:80")
        said = meshctl("--redis", url, "services", status=3)
        assert "certificate" in said.err.lower()
        assert said.err.count("\n") == 1
        said = meshctl("--redis", url, "--ca", str(tmp_path / "no.pem"), "services", status=3)
        assert "no.pem" in said.err
    finally:
        front.stop()
    assert meshctl("services").rows == [["web", "1", "-"]]


def test_a_redis_that_is_away(meshctl: Meshctl) -> None:
    port = free_port()
    said = meshctl("--redis", f"redis://:secret@127.0.0.1:{port}", "-o", "json", "services", status=3)
    assert said.err == f"meshctl: redis 127.0.0.1:{port}: connection refused\n"
    assert said.json["kind"] == "down"


def test_a_redis_that_hangs(meshctl: Meshctl, redis_server: Server) -> None:
    redis_server.pause()
    said = meshctl("--redis", redis_server.url, "services", status=3)
    assert said.err == f"meshctl: redis redis://{redis_server.address}/0: no answer within 3 s\n"


def test_a_wrong_password_is_not_shown(meshctl: Meshctl, bus_server: Server) -> None:
    bus_server("CONFIG", "SET", "requirepass", "right")
    try:
        wrong = bus_server.url.replace("redis://", "redis://:secret@")
        said = meshctl("services", "--redis", wrong, status=3)
    finally:
        with bus_server.connect() as connection:
            connection("AUTH", "right")
            connection("CONFIG", "SET", "requirepass", "")
    assert "WRONGPASS" in said.err
    assert "secret" not in said.err


def test_the_program_itself(bus_server: Server) -> None:
    bus_server.flush()
    env = environment(MESHCTL_REDIS=bus_server.url)
    for command, out in (
        (["register", "web", "127.0.0.1:80"], "web/127.0.0.1:80 at 127.0.0.1 (http 80): registered for 15 s\n"),
        (["services"], "SERVICE  INSTANCES  SUSPECTS\nweb      1          -\n"),
    ):
        words = [sys.executable, "-m", "twisted_mesh.cli.main", *command]
        done = subprocess.run(words, env=env, capture_output=True, text=True, timeout=60, check=False)
        assert (done.returncode, done.stdout, done.stderr) == (0, out, "")


def test_an_embedded_redis(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    with pytest.raises(Failure) as caught:
        mesh_of(given(redis="embedded", mesh="shop"), {})
    assert str(caught.value).startswith("no sidecar of the mesh shop runs an embedded Redis here: there is no ")
    assert caught.value.status == 3
    socket = tmp_path / "twisted_mesh" / "shop" / "redis" / "redis.sock"
    socket.parent.mkdir(parents=True)
    socket.touch()
    settings, _ = mesh_of(given(redis="embedded", mesh="shop"), {})
    assert settings.url.shown == f"unix://{socket}"
