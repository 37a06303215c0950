"""How the parts of the sidecar hang together.  The whole of it, running, is in test_process and its sisters."""

from __future__ import annotations

import asyncio
import signal
from pathlib import Path
from typing import Any, Iterator

import pytest
from twisted.internet.testing import MemoryReactorClock

from tests.support import free_port
from twisted_mesh import model
from twisted_mesh.errors import ConfigError
from twisted_mesh.server import memory, service, signals
from twisted_mesh.server.ending import ending
from twisted_mesh.server.service import Sidecar

TEXT = """
admin: {admin}
access_log: off
drain: {{wait: 1s, limit: 9s}}
listeners: {{edge: {{bind: "127.0.0.1:0", routes: [{{reply: {{body: hello}}}}]}}}}
"""


class Reactor(MemoryReactorClock):
    """A reactor in memory, with a real loop for the sockets, which never runs."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__()
        self._asyncioEventloop = loop
        self.stopped = False

    def stop(self) -> None:
        self.stopped = True


@pytest.fixture
def sidecar(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    monkeypatch.setattr(ending, "status", 0)
    loop = asyncio.new_event_loop()
    (tmp_path / "mesh.yaml").write_text(TEXT.format(admin="off"))
    made: Any = Sidecar(Reactor(loop), str(tmp_path / "mesh.yaml"), lambda config: config)
    made.reactor = made._reactor
    yield made
    made.stopService()
    loop.close()


def test_it_is_ready_once_it_is_prepared(sidecar: Any) -> None:
    assert sidecar.ready() == (False, "no configuration was applied yet")
    sidecar.prepare()
    assert sidecar.ready() == (True, "ready")
    assert b"twisted_mesh_ready 1" in sidecar.registry.expose()
    assert b'twisted_mesh_info{version="' in sidecar.registry.expose()


def test_it_is_not_ready_from_the_moment_that_it_drains(sidecar: Any) -> None:
    sidecar.prepare()
    sidecar.drain("test")
    assert sidecar.ready() == (False, "draining")
    assert sidecar.world.listeners["edge"].ports
    sidecar.reactor.pump([1.0, 0.1])
    assert sidecar.reactor.stopped
    assert ending.status == 0


def test_the_second_request_to_end_is_not_gentle(sidecar: Any) -> None:
    sidecar.prepare()
    sidecar._terminated("SIGTERM")
    assert not sidecar.reactor.stopped
    sidecar._terminated("SIGTERM")
    assert sidecar.reactor.stopped


def test_signals_are_ours_once_the_reactor_runs(sidecar: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    installed: list[int] = []
    monkeypatch.setattr(signals, "install", lambda reactor, acts: installed.extend(acts))
    monkeypatch.setattr(memory, "settle_first", lambda: None)
    sidecar.prepare()
    sidecar.startService()
    for then, arguments, named in sidecar.reactor.whenRunningHooks:
        then(*arguments, **named)
    assert set(installed) == {signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1}


def test_the_admin_moves_with_the_configuration(sidecar: Any) -> None:
    sidecar.prepare()
    assert sidecar._admin.address == ""
    port = free_port()
    config = model.Config.model_validate({"admin": f"127.0.0.1:{port}"})
    undo = sidecar._move_admin(config)
    assert sidecar._admin.address == f"127.0.0.1:{port}"
    undo()
    assert sidecar._admin.address == ""


def test_a_file_that_changes_while_the_process_starts_is_noticed(sidecar: Any) -> None:
    asked: list[str] = []
    sidecar.configuring.reloading.request = asked.append
    sidecar.prepare()
    Path(sidecar.path).write_text(TEXT.format(admin="off") + "\n# more\n")
    sidecar.startService()
    sidecar.reactor.pump([1.0, 0.2, 0.2])
    assert asked == ["it has changed"]


def test_a_reload_that_was_asked_for_is_no_news_to_the_watch(sidecar: Any) -> None:
    asked: list[str] = []
    sidecar.configuring.reloading.request = asked.append
    sidecar.prepare()
    sidecar.startService()
    Path(sidecar.path).write_text(TEXT.format(admin="off") + "\n# more\n")
    sidecar.reload("SIGHUP")
    sidecar.reactor.pump([1.0, 0.2, 0.2, 1.0])
    assert asked == ["SIGHUP"]


def test_what_is_wrong_is_shown(sidecar: Any) -> None:
    Path(sidecar.path).write_text("listeners: 1")
    with pytest.raises(ConfigError):
        sidecar.prepare()
    sidecar.configuring.reloading.refused = "because"
    assert sidecar.refused == "because"


def test_a_configuration_that_is_refused_ends_the_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    loop = asyncio.new_event_loop()
    monkeypatch.setattr(signals, "ignore_until_started", lambda: None)
    monkeypatch.setattr("twisted_mesh.server.reactor.install_reactor", lambda: Reactor(loop))
    monkeypatch.setattr(ending, "prepare", lambda: None)

    class Options(dict[str, Any]):
        owner, daemon = None, False

        def over(self, config: model.Config) -> model.Config:
            return config

    options: Any = Options(config=str(tmp_path / "no.yaml"))
    with pytest.raises(SystemExit) as ended:
        service.make_service(options)
    assert ended.value.code == 1
    assert "no.yaml" in capsys.readouterr().err
    loop.close()
