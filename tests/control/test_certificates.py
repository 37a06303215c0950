"""The certificates of live listeners."""

from __future__ import annotations

import asyncio
import datetime
import os
import socket
import ssl
from pathlib import Path
from typing import Any, Iterator, Optional

import pytest

from tests.support import ROOT
from tests.tls_front import Authority
from twisted_mesh.control.certificates import INTERVAL
from twisted_mesh.control.change import Change
from twisted_mesh.control.found import find_filter
from twisted_mesh.control.listener import LiveListener
from twisted_mesh.control.load import load, load_text
from twisted_mesh.control.world import World
from twisted_mesh.errors import ConfigError
from twisted_mesh.families import Families
from twisted_mesh.testing import Env

TEXT = """
listeners:
  web:
    bind: 127.0.0.1:0
    tls: {tls}
    routes: [{reply: {body: hello}}]
"""


class Sidecar:
    """A world on a loop that runs when somebody asks, and whose clock stands."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self.env = Env()
        self.world = World(self.env, self.loop, find_filter)
        self.world.running = True

    def apply(self, tls: str, text: str = TEXT) -> None:
        change = Change(self.world, load_text(text.replace("{tls}", tls)))
        try:
            for _ in change.steps():
                pass
            change.commit()
        except ConfigError:
            change.give_up()
            raise

    @property
    def web(self) -> LiveListener:
        return self.world.listeners["web"]

    def look(self, times: int = 2) -> None:
        for _ in range(times):
            self.env.time.advance(INTERVAL)

    def reads(self, result: str) -> float:
        return Families(self.env.metrics).certificate_reads.labels("http", "web", result).value

    def expiry(self, index: int = 0) -> float:
        return Families(self.env.metrics).certificate_expiry.labels("http", "web", str(index)).value

    def shown(self, authority: Authority) -> Optional[str]:
        """Make a connection, and return the name in the certificate that is shown; None if it is refused."""
        return self.loop.run_until_complete(asyncio.wait_for(self._shown(authority), 20))

    async def _shown(self, authority: Authority) -> Optional[str]:
        context = ssl.create_default_context(cafile=str(authority.ca))
        context.check_hostname = False
        host, _, port = self.web.addresses[0].rpartition(":")
        try:
            _, writer = await asyncio.open_connection(host, int(port), ssl=context)
        except OSError:
            return None
        certificate: Any = writer.get_extra_info("peercert")
        writer.close()
        return str(dict(part[0] for part in certificate["subject"])["commonName"])


@pytest.fixture
def sidecar() -> Iterator[Sidecar]:
    made = Sidecar()
    yield made
    made.world.stop()
    made.loop.run_until_complete(asyncio.sleep(0.02))
    made.loop.close()


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


def test_tls_comes_and_goes_with_the_configuration(sidecar: Sidecar, authority: Authority) -> None:
    """A listener keeps its socket; without tls it speaks in plain."""
    sidecar.apply(f"{{certificates: {authority.issue('one')}}}")
    address = sidecar.web.addresses
    assert sidecar.shown(authority) == "one"
    sidecar.apply(f"{{certificates: {authority.issue('two')}}}")
    assert sidecar.shown(authority) == "two" and sidecar.web.addresses == address
    shown: Any = sidecar.web.describe()["tls"]
    assert shown["certificates"][0]["names"] == ["two"] and shown["client_certificate"] == "none"
    sidecar.apply("", TEXT.replace("    tls: {tls}\n", ""))
    assert sidecar.shown(authority) is None
    assert sidecar.web.takes == sidecar.web.accepted and "tls" not in sidecar.web.describe()


def test_files_are_read_again_when_they_change(sidecar: Sidecar, authority: Authority) -> None:
    """After one quiet look; what is not good is refused once, and what was there stays."""
    path = authority.issue("one", file="edge")
    sidecar.apply(f"{{certificates: {path}}}")
    sidecar.look()
    assert sidecar.reads("taken") == 0
    authority.issue("two", file="edge")
    sidecar.look(1)
    assert sidecar.reads("taken") == 0
    sidecar.look(1)
    assert sidecar.reads("taken") == 1 and sidecar.shown(authority) == "two"
    path.write_text("nothing")
    sidecar.look(5)
    assert sidecar.reads("refused") == 1 and sidecar.shown(authority) == "two"
    os.unlink(path)
    sidecar.look()
    assert sidecar.reads("refused") == 2
    authority.issue("three", file="edge")
    sidecar.look()
    assert sidecar.reads("taken") == 2 and sidecar.shown(authority) == "three"


def test_they_are_read_at_once_when_somebody_asks(sidecar: Sidecar, authority: Authority) -> None:
    path = authority.issue("one", file="edge")
    sidecar.apply(f"{{certificates: {path}}}")
    authority.issue("two", file="edge")
    sidecar.world.renewal.now()
    assert sidecar.shown(authority) == "two"
    os.utime(path, ns=(1, 1))
    sidecar.world.renewal.now()
    assert sidecar.reads("taken") == 1


def test_a_listener_without_tls_is_not_looked_at(sidecar: Sidecar) -> None:
    sidecar.apply("", TEXT.replace("    tls: {tls}\n", ""))
    assert not sidecar.env.time.getDelayedCalls()


def test_what_is_wrong_is_refused_and_nothing_has_changed(sidecar: Sidecar, authority: Authority) -> None:
    """With the setting that is to blame; but a file that was good does not keep another change from being applied."""
    with pytest.raises(ConfigError) as caught:
        sidecar.apply("{certificates: {certificate: /no/such}}")
    assert str(caught.value).startswith("listeners.web.tls.certificates[0].certificate: /no/such cannot be read")
    path = authority.issue("one", file="edge")
    sidecar.apply(f"{{certificates: {path}}}")
    path.write_text("nothing")
    with pytest.raises(ConfigError):
        sidecar.apply(f"{{certificates: {path}, min_version: 1.3}}")
    sidecar.apply(f"{{certificates: {path}}}", TEXT.replace("hello", "other"))
    assert sidecar.reads("refused") == 1 and sidecar.shown(authority) == "one"


def test_when_they_end_is_told(sidecar: Sidecar, authority: Authority) -> None:
    """In a metric; and in the log if it is soon, or was, or the certificate is not valid yet."""
    sidecar.env.advance(100 * 86400)
    now = datetime.datetime.fromtimestamp(sidecar.env.wall(), datetime.timezone.utc)
    paths = []
    for name, days in (("old", -1), ("soon", 3), ("good", 300)):
        paths.append(str(authority.issue(name, ends=now + datetime.timedelta(days=days))))
    sidecar.apply(f"{{certificates: [{', '.join(paths)}]}}")
    assert sidecar.expiry(1) == sidecar.env.wall() + 3 * 86400
    lines = [each["said"] for each in sidecar.env.events if "said" in each]
    assert [each.split()[0:2] for each in lines] == [["has", "expired"], ["expires", "soon,"]]
    sidecar.apply(f"{{certificates: {paths[2]}}}")
    assert sidecar.expiry() == sidecar.env.wall() + 300 * 86400
    assert sidecar.expiry(1) == 0


def test_handshakes_count_as_connections(sidecar: Sidecar, authority: Authority) -> None:
    """For max_connections, and for a drain; they end when everything does."""
    sidecar.apply(f"{{certificates: {authority.issue('one')}, handshake_timeout: 60s}}\n    max_connections: 2")
    host, _, port = sidecar.web.addresses[0].rpartition(":")
    socks = [socket.create_connection((host, int(port)), timeout=10) for _ in range(3)]

    async def refused() -> None:
        while Families(sidecar.env.metrics).connections_refused.labels("http", "web").value < 1:
            await asyncio.sleep(0.005)

    sidecar.loop.run_until_complete(asyncio.wait_for(refused(), 20))
    assert sidecar.world.connections == 2
    sidecar.world.close_all()
    for _ in range(20):
        sidecar.loop.run_until_complete(asyncio.sleep(0.01))
    assert sidecar.world.connections == 0
    for each in socks:
        each.close()


def test_the_example(authority: Authority, tmp_path: Path) -> None:
    """It can be used once its files are there; until then a check says what is missing, and where."""
    path = str(ROOT / "config" / "tls.yaml")
    env = {"CERTIFICATES": str(tmp_path)}
    load(path, env)
    with pytest.raises(ConfigError) as caught:
        load(path, env, look=True)
    assert [each.path for each in caught.value.problems] == [
        f"listeners.{name}.tls.certificates" for name in ("web", "cache", "mail")
    ]
    assert all(each.line for each in caught.value.problems)
    authority.issue("edge")
    authority.ca.rename(tmp_path / "clients.pem")
    load(path, env, look=True)
