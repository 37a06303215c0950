"""A Redis listener in front of one real server: what clients see is what the server would have said."""

from __future__ import annotations

import random
import signal
import socket
import threading
from pathlib import Path
from typing import Iterator

import hiredis
import pytest

from tests.e2e.redis_load import Load
from tests.e2e.support import resident
from tests.servers import Conversation, Refused, Server
from tests.support import Mesh, RawClient, free_port, start_mesh, until

MIB = 1024 * 1024


def redis_mesh(directory: Path, server: Server, route: str = "", listener: str = "", log: bool = False) -> Mesh:
    """Start a sidecar with a Redis listener before the server; ``ports["cache"]`` says where."""
    port = free_port()
    text = f"access_log: {{path: {directory}/access.log, calls: all}}\n" if log else "access_log: off\n"
    text += (
        f"listeners: {{cache: {{protocol: redis, bind: 127.0.0.1:{port}, routes: [{{to: main{route}}}]{listener}}}}}\n"
        f"clusters: {{main: {{endpoints: ['{server.address}']}}}}\n"
    )
    mesh = start_mesh(text, directory)
    mesh.ports["cache"] = port
    return mesh


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    made = Server().start()
    yield made
    made.stop()


@pytest.fixture(scope="module")
def mesh(server: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mesh]:
    made = redis_mesh(tmp_path_factory.mktemp("mesh"), server, log=True)
    yield made
    made.stop()


@pytest.fixture
def port(mesh: Mesh, server: Server) -> int:
    server("FLUSHALL")
    return mesh.ports["cache"]


def said(where: int, data: bytes) -> bytes:
    """Everything that comes back, to the end of the connection."""
    with RawClient(where) as client:
        client.send(data)
        return client.read_to_end()


QUIT = b"*1\r\n$4\r\nQUIT\r\n"

# What a server answers and goes on, or answers and closes: a QUIT behind it is answered or not.
INPUTS = [
    b"PING\r\n",
    b"ping\n",
    b"   ping   \r\n",
    b"\r\n\r\nPING\r\n",
    b"PING hello\r\n",
    b'SET "a b" \'c d\'\r\nGET "a b"\r\n',
    b'SET "\\x41\\n" 1\r\nGET "A\\n"\r\n',
    b'GET "a\r\n',
    b"*0\r\nPING\r\n",
    b"*-1\r\nPING\r\n",
    b"*-7\r\nPING\r\n",
    b"*x\r\n",
    b"*1x\r\n",
    b"* 1\r\n",
    b"*01\r\n",
    b"*\r\nPING\r\n",
    b"*2147483648\r\n",
    b"*1\r\n+PING\r\n",
    b"*1\r\n:1\r\n",
    b"*1\r\nPING\r\n",
    b"*1\r\n$x\r\n",
    b"*1\r\n$-1\r\n",
    b"*1\r\n$536870913\r\n",
    b"*1\r\n$99999999999\r\n",
    b"*2\r\n$3\r\nGET\r\n:1\r\n",
    b"*2\r\n$3\r\nGET\r\n\r\n",
    b"PING\r\n*1\r\n$x\r\nPING\r\n",
    b"*1\r\n$3\r\nFOO\r\n",
    b"*3\r\n$3\r\nfoo\r\n$3\r\nbar\r\n$3\r\nb z\r\n",
    b"*2\r\n$3\r\nfoo\r\n$200\r\n" + b"y" * 200 + b"\r\n",
    b"*2\r\n$4\r\nF\r\nO\r\n$1\r\n\xff\r\n",
    b"*2\r\n$200\r\n" + b"n" * 200 + b"\r\n$1\r\n1\r\n",
    b"*1\r\n$0\r\n\r\n",
    b"GET\r\n",
    b"GET a b\r\n",
    b"get a b\r\n",
    b"SET a\r\n",
    b"MSET a\r\n",
    b"MSET a 1 b\r\n",
    b"MGET\r\n",
    b"EVAL\r\n",
    b"CLIENT\r\n",
    b"CLIENT FOO\r\n",
    b"client foo bar\r\n",
    b"CONFIG\r\n",
    b"CONFIG GET\r\n",
    b"COMMAND FOO\r\n",
    b"OBJECT FOO\r\n",
    b"CLIENT SETNAME\r\n",
    b"CLIENT SETNAME a b\r\n",
    b"CLIENT SETINFO foo bar\r\n",
    b"CLIENT SETINFO lib-name 'a b'\r\n",
    b"CLIENT NO-EVICT maybe\r\n",
    b"CLIENT KILL 1.2.3.4:5\r\n",
    b"CLIENT KILL ID 999999\r\n",
    b"CLIENT KILL foo bar\r\n",
    b"CLIENT UNBLOCK x\r\n",
    b"CLIENT UNBLOCK 999999\r\n",
    b"CLIENT LIST TYPE foo\r\n",
    b"CLIENT LIST ID 999999\r\n",
    b"CLIENT GETREDIR\r\n",
    b"CLIENT TRACKINGINFO\r\n",
    b"CLIENT GETNAME\r\n",
    b"AUTH x\r\n",
    b"AUTH default x\r\n",
    b"AUTH foo bar\r\n",
    b"AUTH a b c\r\n",
    b"AUTH\r\n",
    b"HELLO 4\r\n",
    b"HELLO x\r\n",
    b"HELLO 3 foo\r\n",
    b"HELLO 2 SETNAME\r\n",
    b"HELLO 3 AUTH foo bar\r\n",
    b"SELECT x\r\n",
    b"SELECT 99\r\n",
    b"SELECT -1\r\n",
    b"SELECT\r\n",
    b"PING a b\r\n",
    b"ECHO\r\n",
    b"ECHO a\r\n",
    b"TIME x\r\n",
    b"RESET\r\n",
    b"RESET x\r\n",
    b"ACL WHOAMI\r\n",
    b"ACL CAT foo\r\n",
    b"ACL GENPASS 0\r\n",
    b"CLUSTER KEYSLOT {a}b\r\n",
    b"COMMAND GETKEYS PING\r\n",
    b"COMMAND GETKEYS nosuch\r\n",
    b"COMMAND GETKEYS MSET a 1 b 2\r\n",
    b"COMMAND GETKEYS SORT a STORE b\r\n",
    b"COMMAND INFO nosuch\r\n",
    b"COMMAND LIST FILTERBY foo bar\r\n",
    b"CONFIG GET save appendonly\r\n",
    b"CONFIG GET nosuch\r\n",
    b"SET a 1 XX NX\r\n",
    b"SET a x\r\nINCR a\r\nLPUSH a 1\r\nGET a\r\n",
    b"SET a 1 EX 0\r\n",
    b"EVAL 'return 1' x\r\n",
    b"EVAL 'return redis.error_reply(\"MY err\")' 0\r\n",
    b"GET " + b"k" * 20_000 + b"\r\n",
]


@pytest.mark.parametrize("data", INPUTS, ids=lambda data: repr(data[:40]))
def test_what_is_sent_is_answered_as_the_server_does(server: Server, port: int, data: bytes) -> None:
    expected = said(server.port, data + QUIT)
    server("FLUSHALL")
    assert said(port, data + QUIT) == expected


@pytest.mark.parametrize(
    ("begin", "what"), [(b"*", "mbulk count string"), (b"x", "inline request"), (b"*1\r\n$", "bulk count string")]
)
def test_a_line_without_an_end_is_refused_and_that_is_heard(port: int, begin: bytes, what: str) -> None:
    assert said(port, begin + b"1" * 70_000) == f"-ERR Protocol error: too big {what}\r\n".encode()


def test_a_client_that_is_cut_off_has_its_answers_first(port: int) -> None:
    assert said(port, b"SET a 1\r\nGET a\r\nECHO x\r\n*1\r\n:x\r\nGET a\r\n") == (
        b"+OK\r\n$1\r\n1\r\n$1\r\nx\r\n-ERR Protocol error: expected '$', got ':'\r\n"
    )


def test_a_client_that_sends_no_more_gets_all_its_answers(port: int) -> None:
    with RawClient(port) as client:
        client.send(b"".join(b"SET k%d %d\r\nGET k%d\r\nPING\r\n" % (at, at, at) for at in range(300)))
        client.half_close()
        assert client.read_to_end() == b"".join(
            b"+OK\r\n$%d\r\n%d\r\n+PONG\r\n" % (len(str(at)), at) for at in range(300)
        )


def test_quit_is_answered_behind_all_that_came_before(port: int) -> None:
    assert said(port, b"SET a 1\r\nGET a\r\nQUIT\r\nGET a\r\n") == b"+OK\r\n$1\r\n1\r\n+OK\r\n"


def commands(dice: random.Random) -> list[bytes]:
    """Commands of all kinds, as they may follow each other in one pipeline."""
    made: list[list[str]] = []
    for _ in range(400):
        key, other = f"k{dice.randrange(6)}", f"k{dice.randrange(6)}"
        made.append(
            dice.choice(
                [
                    ["SET", key, "x" * dice.randrange(200)],
                    ["GET", key],
                    ["get", key],
                    ["APPEND", key, "\r\n$-1"],
                    ["STRLEN", key],
                    ["MGET", key, other, "none"],
                    ["MSET", key, "1", other, "2"],
                    ["DEL", key],
                    ["EXISTS", key, other],
                    ["LPUSH", "list", key],
                    ["LRANGE", "list", "0", "5"],
                    ["HSET", "hash", key, other],
                    ["HGETALL", "hash"],
                    ["EVAL", "return {KEYS[1], {1, {2}}, ARGV[1]}", "1", key, other],
                    ["LPUSH", key, "x"],
                    ["NOSUCH", key],
                    ["GET"],
                    ["PING"],
                    ["ECHO", key],
                    ["DBSIZE"],
                    ["OBJECT", "ENCODING", "hash"],
                    ["TYPE", key],
                    ["SELECT", str(dice.randrange(3, 5))],
                ]
            )
        )
    return [hiredis.pack_command(tuple(each)) for each in made]


@pytest.mark.parametrize("version", [2, 3])
def test_replies_come_in_order_whatever_is_mixed_and_wherever_it_is_cut(
    server: Server, port: int, version: int
) -> None:
    dice = random.Random(version)
    sent = b"".join([b"HELLO %d\r\nSELECT 3\r\n" % version, *commands(dice), QUIT])
    with RawClient(server.port) as client:
        client.send(sent)
        expected = client.read_to_end()
    server("FLUSHALL")
    with RawClient(port) as client:
        at = 0
        while at < len(sent):
            size = dice.choice([1, 7, 100, 5000])
            client.send(sent[at : at + size])
            at += size
        got = client.read_to_end()
    # What HELLO says of itself is not the same.
    assert got[got.index(b"+OK") :] == expected[expected.index(b"+OK") :]


def test_databases_are_as_many_as_are_configured(server: Server, tmp_path: Path) -> None:
    mesh = redis_mesh(tmp_path, server, listener=", redis: {databases: 2}")
    try:
        with Conversation(mesh.ports["cache"]) as one, Conversation(mesh.ports["cache"]) as other:
            assert one("SELECT", 1) == b"OK"
            assert one("SET", "in", "one") == b"OK"
            assert other("GET", "in") is None
            assert server.connect()("SELECT", 1) == b"OK"
            with pytest.raises(Refused, match="DB index is out of range"):
                one("SELECT", 2)
            assert one("GET", "in") == b"one"
    finally:
        mesh.stop()


def test_calls_are_logged_and_commands_counted(mesh: Mesh, port: int) -> None:
    before = mesh.metric("twisted_mesh_redis_commands_total", listener="cache", command="append")
    with RawClient(port) as client:
        client.send(hiredis.pack_command(("APPEND", "logged", "value-left-out")) * 5)
        for at in range(1, 6):
            assert client.read_until(b"\r\n") == b":%d\r\n" % (14 * at)
    count = lambda name: mesh.metric(name, listener="cache", command="append")  # noqa: E731
    until(lambda: count("twisted_mesh_redis_commands_total") == before + 5)
    log = Path(mesh.config.parent, "access.log")
    until(lambda: '"path":"logged"' in log.read_text())
    line = next(each for each in log.read_text().splitlines() if '"path":"logged"' in each)
    assert '"method":"APPEND"' in line
    assert '"count":' in line
    assert "value-left-out" not in log.read_text()


# --- large values


class Pattern:
    """A value of any size that nobody has to hold: its piece at any place is known."""

    def __init__(self, size: int) -> None:
        self.size = size
        self._block = random.Random(7).randbytes(MIB)

    def pieces(self) -> Iterator[bytes]:
        left = self.size
        while left:
            yield self._block[: min(left, MIB)]
            left -= min(left, MIB)


def send_value(client: RawClient, key: bytes, value: Pattern) -> None:
    client.send(b"*3\r\n$3\r\nSET\r\n$%d\r\n%b\r\n$%d\r\n" % (len(key), key, value.size))
    for piece in value.pieces():
        client.send(piece)
    client.send(b"\r\n")


def read_value(client: RawClient, value: Pattern) -> None:
    assert client.read_until(b"\r\n") == b"$%d\r\n" % value.size
    for piece in value.pieces():
        assert client.read_exactly(len(piece)) == piece
    assert client.read_exactly(2) == b"\r\n"


def test_large_values_pass_in_both_directions_and_are_not_held(server: Server, mesh: Mesh, port: int) -> None:
    value = Pattern(100 * MIB)
    with RawClient(port) as client:
        before = resident(mesh.pid)
        send_value(client, b"large", value)
        assert client.read_until(b"\r\n") == b"+OK\r\n"
        assert server("STRLEN", "large") == value.size
        client.send(b"PING\r\nGET large\r\nSTRLEN large\r\n")
        assert client.read_until(b"\r\n") == b"+PONG\r\n"
        read_value(client, value)
        assert client.read_until(b"\r\n") == b":%d\r\n" % value.size
        assert resident(mesh.pid) - before < 40 * MIB
    server("DEL", "large")


def test_who_reads_a_large_value_slowly_holds_up_nobody_else(server: Server, port: int) -> None:
    value = Pattern(40 * MIB)
    with RawClient(port) as slow, Conversation(port) as other:
        send_value(slow, b"large", value)
        assert slow.read_until(b"\r\n") == b"+OK\r\n"
        slow.send(b"GET large\r\n")
        # It has begun to come, and more is under way than the kernel holds.
        slow.read_exactly(1000)
        for at in range(50):
            assert other("SET", f"k{at}", at) == b"OK"
            assert other("GET", f"k{at}") == str(at).encode()
        head = len(b"$%d\r\n" % value.size)
        slow.read_exactly(value.size + head + 2 - 1000)
        slow.send(b"PING\r\n")
        assert slow.read_until(b"\r\n") == b"+PONG\r\n"
    server("DEL", "large")


def test_a_client_that_vanishes_inside_of_a_value_changes_nothing(server: Server, port: int) -> None:
    server("SET", "large", "before")
    client = RawClient(port)
    client.send(b"*3\r\n$3\r\nSET\r\n$5\r\nlarge\r\n$%d\r\n" % (10 * MIB) + bytes(2 * MIB))
    client.reset()
    with Conversation(port) as other:
        for _ in range(20):
            assert other("GET", "large") == b"before"


def test_a_client_that_vanishes_inside_of_its_replies_harms_nobody(server: Server, port: int) -> None:
    server("SET", "middling", bytes(MIB))
    for _ in range(3):
        client = RawClient(port)
        client.send(b"GET middling\r\n" * 50)
        client.read_exactly(10_000)
        client.reset()
        with Conversation(port) as other:
            assert len(other("GET", "middling")) == MIB


def test_a_client_that_never_reads_is_not_read_either(mesh: Mesh, port: int) -> None:
    with Conversation(port) as link:
        link("SET", "k", bytes(10_000))
    before = resident(mesh.pid)
    with RawClient(port, timeout=1.0) as client:
        sent, commands = 0, b"GET k\r\n" * 10_000
        with pytest.raises(TimeoutError):
            for _ in range(10_000):
                client.sock.sendall(commands)
                sent += len(commands)
        assert sent < 64 * MIB
        assert resident(mesh.pid) - before < 64 * MIB


# --- servers that fail


def test_the_server_is_killed_paused_and_restarted_under_load(tmp_path: Path) -> None:
    server = Server("--appendonly", "yes", "--appendfsync", "always").start()
    mesh = redis_mesh(tmp_path, server, route=", timeout: 1s")
    try:
        with Load(mesh.ports["cache"]) as load:
            for _ in range(2):
                seen = load.replies
                until(lambda seen=seen: load.replies > seen + 200 or load.wrong, "replies")  # type: ignore[misc]
                server.pause()
                errors = sum(load.errors.values())
                until(
                    lambda errors=errors: sum(load.errors.values()) > errors or load.wrong, "errors of a paused server"
                )  # type: ignore[misc]
                server.resume()
                seen = load.replies
                until(lambda seen=seen: load.replies > seen + 200 or load.wrong, "replies")  # type: ignore[misc]
                server.restart()
        assert load.wrong == []
        assert set(load.errors) <= {"MESHTIMEOUT", "MESHFAILURE", "MESHNOHOST", "LOADING"}
    finally:
        mesh.stop()
        server.stop()


def test_what_a_client_hears_of_a_server_that_is_gone_hangs_or_talks_nonsense(tmp_path: Path) -> None:
    server = Server().start()
    mesh = redis_mesh(tmp_path, server, route=", timeout: 300ms")
    try:
        with Conversation(mesh.ports["cache"]) as link:
            assert link("SET", "a", "1") == b"OK"
            server.pause()
            with pytest.raises(Refused, match=r"MESHTIMEOUT upstream failure: no reply within 0\.3 s"):
                link("GET", "a")
            # It is still known whose is which.
            server.resume()
            assert link("GET", "a") == b"1"
            server.kill()
            with pytest.raises(Refused, match=r"MESHFAILURE upstream failure: .*refused"):
                link("SET", "a", "2")
            assert link("PING") == b"PONG"
            server.start()
            assert link("SET", "a", "3") == b"OK"
    finally:
        mesh.stop()
        server.stop()


def test_reads_are_tried_again_and_writes_that_went_out_are_not(tmp_path: Path) -> None:
    """A server that takes a command and closes: how often it has seen each."""
    port = free_port()
    seen: list[bytes] = []
    listening = socket.create_server(("127.0.0.1", port))

    def serve() -> None:
        while True:
            try:
                sock, _ = listening.accept()
            except OSError:
                return
            with sock:
                data = b""
                while b"GET" not in data and b"APPEND" not in data:
                    data += sock.recv(65536)
                    if b"SETNAME" in data:
                        sock.sendall(b"+OK\r\n")
                        data = data.partition(b"twisted-mesh\r\n")[2]
                seen.append(data.split(b"\r\n")[2])

    threading.Thread(target=serve, daemon=True).start()

    class Here:
        address = f"127.0.0.1:{port}"

    mesh = redis_mesh(tmp_path, Here())  # type: ignore[arg-type]
    try:
        with Conversation(mesh.ports["cache"]) as link:
            with pytest.raises(Refused, match="MESHFAILURE upstream failure"):
                link("APPEND", "a", "1")
            assert seen == [b"APPEND"]
            with pytest.raises(Refused, match="MESHFAILURE upstream failure"):
                link("GET", "a")
            assert seen == [b"APPEND", b"GET", b"GET", b"GET"]
    finally:
        listening.close()
        mesh.stop()


def test_a_drain_answers_what_has_come(tmp_path: Path) -> None:
    server = Server().start()
    mesh = redis_mesh(tmp_path, server)
    try:
        with RawClient(mesh.ports["cache"]) as busy, RawClient(mesh.ports["cache"]) as idle:
            idle.send(b"PING\r\n")
            idle.read_until(b"\r\n")
            busy.send(b"SET a 1\r\n")
            busy.read_until(b"\r\n")
            server.pause()
            busy.send(b"GET a\r\n" * 10)
            until(lambda: "10 commands in flight" in mesh.get("/clusters").text, "commands in flight")
            mesh.signal(signal.SIGTERM)
            assert idle.read_to_end() == b""
            server.resume()
            assert busy.read_to_end() == b"$1\r\n1\r\n" * 10
        assert mesh.wait() == 0
    finally:
        mesh.stop()
        server.stop()


def test_a_client_that_stalls_inside_of_a_value_or_is_idle_is_let_go(tmp_path: Path) -> None:
    server = Server().start()
    mesh = redis_mesh(tmp_path, server, listener=", redis: {stalled: 300ms, idle_timeout: 1s}")
    try:
        with RawClient(mesh.ports["cache"]) as client:
            client.send(b"*3\r\n$3\r\nSET\r\n$1\r\na\r\n$%d\r\n" % (10 * MIB) + bytes(MIB))
            with pytest.raises(ConnectionResetError):
                client.read_to_end()
        with RawClient(mesh.ports["cache"]) as client:
            client.send(b"PING\r\n")
            assert client.read_to_end() == b"+PONG\r\n"
        assert server("EXISTS", "a") == 0
    finally:
        mesh.stop()
        server.stop()
