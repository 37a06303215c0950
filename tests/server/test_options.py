"""What can be said on the command line.  How mistakes end the process is in test_process."""

from __future__ import annotations

import os
import pwd
from typing import Any

import pytest

from twisted_mesh import model
from twisted_mesh.server import options as module
from twisted_mesh.server.options import USAGE, Options


@pytest.fixture(autouse=True)
def no_reactor(monkeypatch: pytest.MonkeyPatch) -> None:
    """The process that runs the tests keeps the reactor and the collector that it has."""
    monkeypatch.setattr(module, "install_reactor", lambda: None)
    monkeypatch.setattr(module.memory, "begin", lambda: None)


def parse(*arguments: str) -> Options:
    options = Options()
    options.parseOptions(list(arguments))
    return options


CONFIG = model.Config.model_validate({"node": {"id": "a", "service": "b", "zone": "c"}, "admin": "127.0.0.1:1"})


def test_the_path_is_absolute_and_mesh_yaml_unless_named() -> None:
    """A daemon changes its directory."""
    assert parse()["config"] == os.path.abspath("mesh.yaml")
    assert parse("--config", "x/y.yaml")["config"] == os.path.abspath("x/y.yaml")
    assert parse("-c", "/etc/mesh")["config"] == "/etc/mesh"


def test_what_is_not_said_leaves_the_configuration_alone() -> None:
    assert parse().over(CONFIG) is CONFIG


def test_what_is_said_goes_over_the_configuration() -> None:
    changed = parse("--node", "x", "--zone", "").over(CONFIG)
    assert (changed.node.id, changed.node.service, changed.node.zone) == ("x", "b", "")
    assert changed.admin == CONFIG.admin
    assert parse("--service", "y").over(CONFIG).node.service == "y"


@pytest.mark.parametrize(
    ("said", "admin"),
    [("off", None), ("[::1]:7", model.Address("::1", 7)), ("unix:/run/a", model.Address("", 0, "/run/a"))],
)
def test_the_admin_can_be_moved_or_left_out(said: str, admin: Any) -> None:
    assert parse("--admin", said).over(CONFIG).admin == admin


def test_redis_is_named_on_the_command_line_or_in_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """The command line comes first; both come before the configuration."""
    monkeypatch.delenv("MESH_REDIS", raising=False)
    assert parse().over(CONFIG).redis is None
    monkeypatch.setenv("MESH_REDIS", "redis://:secret@a/2")
    made = parse().over(CONFIG).redis
    assert made is not None
    assert (str(made.url), made.login) == ("redis://:secret@a:6379/2", ("", "secret"))
    given = parse("--redis", "embedded").over(CONFIG).redis
    assert given is not None
    assert given.embedded
    monkeypatch.setenv("MESH_REDIS", "")
    assert parse().over(CONFIG).redis is None


def test_a_mistake_in_the_environment_is_said_without_the_password(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("MESH_REDIS", "redis://:secret@a:port/2")
    with pytest.raises(SystemExit):
        parse()
    said = capsys.readouterr().err
    assert said.startswith("mesh: MESH_REDIS: redis://:***@a:port/2: expected a port from 0 to 65535 after the colon")


@pytest.mark.parametrize("arguments", [["--nope"], ["x"], ["--redis", "x"], ["--admin", "x"], ["--config"]])
def test_mistakes_are_one_line(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        parse(*arguments)
    assert ended.value.code == USAGE
    assert capsys.readouterr().err.count("\n") == 1


# --- beside twistd's own options


def under_twistd(**given: Any) -> Options:
    options = Options()
    options.parent = given
    options.parseOptions([])
    return options


def test_what_twistd_makes_of_the_process_is_known() -> None:
    me = pwd.getpwuid(os.getuid())
    assert parse().owner is None
    assert under_twistd(uid=None, gid=None, chroot=None).owner is None
    assert under_twistd(uid=me.pw_uid, gid=None, chroot=None).owner == (me.pw_uid, me.pw_gid)
    assert under_twistd(uid=me.pw_uid, gid=7).owner == (me.pw_uid, 7)
    assert [parse().daemon, under_twistd(nodaemon=1).daemon, under_twistd(nodaemon=0).daemon] == [False, False, True]


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"chroot": "/srv"}, "mesh: --chroot cannot be had: "),
        ({"uid": 2**30 + 12345, "gid": 1}, f"mesh: --uid: there is no user {2**30 + 12345}"),
    ],
)
def test_what_twistd_cannot_do_for_a_mesh_is_refused(
    given: dict[str, Any], says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        under_twistd(**given)
    assert ended.value.code == USAGE
    [line] = capsys.readouterr().err.splitlines()
    assert line.startswith(says)
