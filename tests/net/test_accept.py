"""Binding and accepting."""

from __future__ import annotations

import asyncio
import errno
import os
import resource
import socket
import stat
import sys
from pathlib import Path
from typing import Any, Optional

import pytest
from twisted.internet.error import ConnectionDone

from tests.net.conftest import Run
from tests.net.support import Recorder, read_to_end, reset, turns, until
from twisted_mesh.metrics import Registry
from twisted_mesh.model import Address
from twisted_mesh.net import accept as module
from twisted_mesh.net.accept import Accepted, Port


class Listening:
    """A port, and what it accepted."""

    def __init__(
        self, where: str = "127.0.0.1:0", mode: Optional[int] = None, backlog: int = 1024, **more: Any
    ) -> None:
        self.got: list[Accepted] = []
        self.metrics = Registry()
        self.port = Port(
            asyncio.get_running_loop(),
            Address.parse(where),
            self.got.append,
            name="edge",
            metrics=self.metrics,
            mode=mode,
            backlog=backlog,
            **more,
        )

    def count(self, what: str) -> float:
        """The value of one of the port's counters."""
        family: Any = self.metrics.family(f"twisted_mesh_downstream_{what}_total")
        value: float = family.labels("tcp", "edge").value
        return value

    def end(self) -> None:
        """Close everything."""
        self.port.stop_accepting()
        for each in self.got:
            each.sock.close()


def connect(address: str) -> socket.socket:
    """Connect a blocking socket to what a port says its address is."""
    if address.startswith("unix:"):
        sock = socket.socket(socket.AF_UNIX)
        sock.connect(address[5:])
        return sock
    host, _, port = address.rpartition(":")
    return socket.create_connection((host.strip("[]"), int(port)))


def test_accepts(run: Run) -> None:
    """Port 0 takes a free port and says which; connections come with who they are, and a protocol can have them."""

    async def go() -> None:
        one = Listening()
        assert one.port.address == "127.0.0.1:0" and not one.port.listening
        one.port.start()
        assert one.port.listening and not one.port.address.endswith(":0")
        client = connect(one.port.address)
        await until(lambda: one.got)
        accepted = one.got[0]
        host, port = client.getsockname()
        assert (accepted.peer, accepted.peer_host) == (f"{host}:{port}", "127.0.0.1")
        assert "Accepted from 127.0.0.1" in repr(accepted)
        protocol = Recorder()
        transport = accepted.adopt(protocol)
        client.send(b"hello")
        await until(lambda: protocol.data == b"hello")
        assert transport.getTcpNoDelay()
        client.close()
        await until(lambda: protocol.lost)
        assert protocol.lost == [ConnectionDone]
        address = one.port.address
        one.end()
        one.port.stop_accepting()
        assert not one.port.listening
        with pytest.raises(ConnectionRefusedError):
            connect(address)

    run(go())


def test_held(run: Run) -> None:
    """Clients wait in the backlog while a port is held, and are accepted afterwards."""

    async def go() -> None:
        one = Listening()
        one.port.start()
        one.port.hold()
        client = connect(one.port.address)
        await turns()
        assert one.got == []
        one.port.resume()
        await until(lambda: one.got)
        client.close()
        one.end()
        one.port.stop_accepting()
        one.port.hold()
        one.port.resume()

    run(go())


def test_detach(run: Run) -> None:
    """Whoever wants the socket itself gets it, non-blocking and without Nagle's delay."""

    async def go() -> None:
        one = Listening()
        one.port.start()
        client = connect(one.port.address)
        await until(lambda: one.got)
        sock = one.got[0].detach()
        assert sock.gettimeout() == 0.0
        assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
        client.close()
        one.end()

    run(go())


def test_ipv6(run: Run) -> None:
    """[::] is IPv6 alone, so that the same port of 0.0.0.0 can be bound beside it."""

    async def go() -> None:
        six = Listening("[::]:0")
        six.port.start()
        number = six.port.address.rpartition(":")[2]
        assert six.port.address == f"[::]:{number}"
        four = Listening(f"0.0.0.0:{number}")
        four.port.start()
        client = socket.create_connection(("::1", int(number)))
        await until(lambda: six.got)
        assert six.got[0].peer == f"[::1]:{client.getsockname()[1]}" and six.got[0].peer_host == "::1"
        client.close()
        four.end()
        six.end()

    run(go())


def test_address_in_use(run: Run) -> None:
    """A bind that cannot be had says in one line what and why."""

    async def go() -> None:
        one = Listening()
        one.port.start()
        two = Listening(one.port.address)
        with pytest.raises(OSError) as caught:
            two.port.start()
        assert caught.value.strerror == f"cannot listen on {one.port.address}: the address is in use"
        assert caught.value.errno == errno.EADDRINUSE
        assert not two.port.listening
        one.end()
        three = Listening("192.0.2.1:8080")
        with pytest.raises(OSError, match="this machine has no such address"):
            three.port.start()

    run(go())


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="other kernels ask for it before the first bind")
@pytest.mark.parametrize(("before", "after"), [("127.0.0.1", "0.0.0.0"), ("0.0.0.0", "127.0.0.1")])
def test_the_same_port_of_a_wider_or_narrower_address(run: Run, before: str, after: str) -> None:
    """Both are open for the moment in which one takes over from the other; nobody is refused, and nobody can join."""

    async def go() -> None:
        one = Listening(f"{before}:0")
        one.port.start()
        number = one.port.address.rpartition(":")[2]
        waiting = connect(f"127.0.0.1:{number}")
        two = Listening(f"{after}:{number}")
        two.port.start()
        one.port.stop_accepting()
        assert len(one.got) == 1
        client = connect(f"127.0.0.1:{number}")
        await until(lambda: two.got)
        with socket.socket() as other:
            other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            with pytest.raises(OSError, match="in use"):
                other.bind(("127.0.0.1", int(number)))
        for each in (waiting, client):
            each.close()
        one.end()
        two.end()

    run(go())


def test_backlog_and_mode_of_an_open_socket(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "s"

    async def go() -> None:
        one = Listening(f"unix:{path}", mode=0o600, backlog=1)
        one.port.start()
        one.port.hold()
        one.port.adjust(7, 0o666)
        assert stat.S_IMODE(path.stat().st_mode) == 0o666
        clients = []
        for _ in range(7):
            client = socket.socket(socket.AF_UNIX)
            client.setblocking(False)
            client.connect(str(path))
            clients.append(client)
        # A file that is somebody else's by now is left alone.
        path.unlink()
        path.write_text("")
        path.chmod(0o600)
        one.port.adjust(7, 0o640)
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        for client in clients:
            client.close()
        one.end()

    run(go())


def test_unix(run: Run, tmp_path: Path) -> None:
    """A unix socket has the mode that was asked for, and its file goes with it."""
    path = tmp_path / "s"

    async def go() -> None:
        one = Listening(f"unix:{path}", mode=0o640)
        one.port.start()
        assert one.port.address == f"unix:{path}"
        assert stat.S_IMODE(path.stat().st_mode) == 0o640
        client = connect(one.port.address)
        await until(lambda: one.got)
        assert (one.got[0].peer, one.got[0].peer_host) == ("unix:", "")
        client.close()
        one.end()
        assert not path.exists()

    run(go())


def test_stale_unix(run: Run, tmp_path: Path) -> None:
    """The file of a process that is gone is replaced; one that somebody listens on, or no socket, is left alone."""
    path = tmp_path / "s"
    dead = socket.socket(socket.AF_UNIX)
    dead.bind(str(path))
    dead.close()

    async def go() -> None:
        one = Listening(f"unix:{path}")
        one.port.start()
        two = Listening(f"unix:{path}")
        with pytest.raises(OSError, match="the address is in use"):
            two.port.start()
        connect(one.port.address).close()
        await until(lambda: one.got)
        one.end()
        path.write_text("precious")
        with pytest.raises(FileExistsError, match="no socket"):
            two.port.start()
        assert path.read_text() == "precious"
        three = Listening(f"unix:{tmp_path}/missing/s")
        with pytest.raises(OSError, match="the directory does not exist"):
            three.port.start()

    run(go())


def test_unix_with_a_full_backlog_is_in_use(run: Run, tmp_path: Path) -> None:
    """A socket whose owner is too busy to accept is not taken from it."""
    path = str(tmp_path / "s")
    busy = socket.socket(socket.AF_UNIX)
    busy.bind(path)
    busy.listen(0)
    waiting = []

    async def go() -> None:
        while True:
            sock = socket.socket(socket.AF_UNIX)
            sock.setblocking(False)
            waiting.append(sock)
            try:
                sock.connect(path)
            except BlockingIOError:
                break
        with pytest.raises(OSError, match="the address is in use"):
            Listening(f"unix:{path}").port.start()

    run(go())
    for each in [busy, *waiting]:
        each.close()


def test_unlinks_only_its_own(run: Run, tmp_path: Path) -> None:
    """A file that another process has put in the place of ours stays."""
    path = tmp_path / "s"

    async def go() -> None:
        one = Listening(f"unix:{path}")
        one.port.start()
        other = socket.socket(socket.AF_UNIX)
        other.bind(str(tmp_path / "new"))
        os.replace(tmp_path / "new", path)
        one.end()
        assert path.exists()
        other.close()
        two = Listening(f"unix:{path}")
        two.port.start()
        path.unlink()
        two.end()

    run(go())


def test_the_backlog_is_served(run: Run) -> None:
    """What waits to be accepted when accepting stops is accepted, not reset."""

    async def go() -> None:
        one = Listening()
        one.port.start()
        clients = [connect(one.port.address) for _ in range(200)]
        one.port.stop_accepting()
        assert len(one.got) == 200
        for each in one.got:
            each.sock.send(b"served")
            each.sock.close()
        for each in clients:
            assert each.recv(100) == b"served"
            each.close()

    run(go())


def test_batches(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """A storm of connections is taken in batches, with the rest of the loop in between."""
    monkeypatch.setattr(module, "BATCH", 3)

    async def go() -> None:
        one = Listening()
        one.port.start()
        clients = [connect(one.port.address) for _ in range(10)]
        one.port._readable()
        assert len(one.got) == 3
        await until(lambda: len(one.got) == 10)
        for each in clients:
            each.close()
        one.end()

    run(go())


def test_out_of_descriptors(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """Accepting pauses when there are no descriptors left, counts it, and goes on when there are some again."""
    monkeypatch.setattr(module, "PAUSE", 0.02)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)

    async def go() -> None:
        one = Listening()
        one.port.start()
        address = one.port.address.rpartition(":")
        clients = [socket.socket() for _ in range(3)]
        filling: list[int] = []
        resource.setrlimit(resource.RLIMIT_NOFILE, (max(each.fileno() for each in clients) + 20, hard))
        try:
            while True:
                filling.append(os.open("/dev/null", os.O_RDONLY))
        except OSError as error:
            assert error.errno == errno.EMFILE
        try:
            for each in clients:
                each.connect((address[0], int(address[2])))
            await until(lambda: one.count("accept_pauses") >= 2)
            assert one.got == [] and "paused" in repr(one.port)
        finally:
            for number in filling:
                os.close(number)
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        await until(lambda: len(one.got) == 3)
        assert one.port._pause == module.PAUSE and "open" in repr(one.port)
        for each in clients:
            each.close()
        one.end()

    run(go())


def test_a_reserve_of_descriptors(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """Clients do not get the last ones; a port without a reserve does, and closing takes all that wait."""
    monkeypatch.setattr(module, "PAUSE", 0.02)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)

    async def go() -> None:
        one, admin = Listening(), Listening(reserve=0)
        clients = [socket.socket() for _ in range(40)]
        resource.setrlimit(resource.RLIMIT_NOFILE, (clients[-1].fileno() + 30, hard))
        try:
            for port in (admin.port, one.port):
                port.start()
            host, _, number = one.port.address.rpartition(":")
            for each in clients[1:]:
                each.connect((host, int(number)))
            await until(lambda: one.count("accept_pauses") >= 3)
            got = len(one.got)
            assert 0 < got < 30
            host, _, number = admin.port.address.rpartition(":")
            clients[0].connect((host, int(number)))
            await until(lambda: admin.got)
            for each in one.got[5:10]:
                each.sock.close()
            await until(lambda: len(one.got) > got)
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        one.port.stop_accepting()
        assert len(one.got) == len(clients) - 1
        for sock in clients:
            sock.close()
        one.end()
        admin.end()

    run(go())


def test_closing_while_paused(run: Run) -> None:
    """A port that pauses can be closed; what waits is accepted if that has become possible."""

    async def go() -> None:
        one = Listening()
        one.port.start()
        client = connect(one.port.address)
        one.port._pause_accepting(OSError(errno.EMFILE, "Too many open files"))
        await turns()
        assert one.got == []
        one.port.stop_accepting()
        assert len(one.got) == 1
        client.close()
        one.end()
        await turns()

    run(go())


class _Fails:
    """A listening socket whose accept raises what it is told to, then finds nothing."""

    family = socket.AF_INET

    def __init__(self, *errors: int) -> None:
        self.errors = list(errors)

    def accept(self) -> Any:
        number = self.errors.pop(0) if self.errors else errno.EAGAIN
        raise OSError(number, os.strerror(number))


def test_clients_that_were_gone(run: Run) -> None:
    """A connection that broke while it waited costs one count, and the next is taken."""

    async def go() -> None:
        one = Listening()
        one.port._accept(_Fails(errno.ECONNABORTED, errno.EPROTO), 64)  # type: ignore[arg-type]
        assert one.count("accept_failures") == 2

    run(go())


def test_a_connection_that_cannot_be_set_up(run: Run) -> None:
    """What `accepted` raises costs that connection, and nothing else."""

    async def go() -> None:
        one = Listening()

        def fail(accepted: Accepted) -> None:
            raise ValueError("no")

        one.port.accepted = fail
        one.port.start()
        client = connect(one.port.address)
        client.setblocking(False)
        assert await read_to_end(client) == b""
        assert one.count("accept_failures") == 1
        client.close()
        # The owner may be replaced at any time.
        one.port.accepted = one.got.append
        client = connect(one.port.address)
        await until(lambda: one.got)
        reset(client)
        one.end()

    run(go())


def test_adopting_a_connection_that_is_gone(run: Run) -> None:
    """A client that has reset its connection before it was adopted is only lost."""

    async def go() -> None:
        one = Listening()
        one.port.start()
        reset(connect(one.port.address))
        await until(lambda: one.got)
        protocol = Recorder()
        one.got[0].adopt(protocol)
        await until(lambda: protocol.lost)
        assert protocol.made == 1
        one.end()

    run(go())
