"""meshctl in the test's own process, on a reactor that lives as long as the tests, against a real server."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, Callable, Coroutine, Iterator

import pytest

from tests.servers import Live, Server
from twisted_mesh.cli import session
from twisted_mesh.cli.main import main


@dataclass
class Said:
    """What a command printed, and its status."""

    status: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)

    @property
    def rows(self) -> list[list[str]]:
        """The table, without its heads."""
        return [line.split() for line in self.out.splitlines()[1:]]


Meshctl = Callable[..., Said]


@pytest.fixture(scope="session")
def bus_server() -> Iterator[Server]:
    server = Server().start()
    yield server
    server.stop()


@pytest.fixture
def meshctl(
    bus_server: Server, live: Live, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Meshctl:
    """``meshctl("services")`` runs a command against an empty server; its status must be `status`, 0 if not given."""
    bus_server.flush()
    monkeypatch.setenv("MESHCTL_REDIS", bus_server.url)
    monkeypatch.setenv("MESHCTL_AUTHOR", "ann")
    monkeypatch.delenv("MESHCTL_MESH", raising=False)

    def on_reactor(begin: Callable[[Any], Coroutine[Any, Any, None]]) -> None:
        live.run(lambda: begin(live.reactor))

    monkeypatch.setattr(session, "on_reactor", on_reactor)

    def command(*arguments: str, status: int = 0) -> Said:
        capsys.readouterr()
        try:
            ended = main(arguments)
        except SystemExit as error:
            ended = int(str(error.code))
        shown = capsys.readouterr()
        assert ended == status, f"{ended}\n{shown.out}{shown.err}"
        return Said(ended, shown.out, shown.err)

    return command
