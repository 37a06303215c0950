"""Transactions, subscriptions and waiting through a sidecar, seen by a client library, on one server and on shards."""

from __future__ import annotations

import json
import threading
from hashlib import sha1, sha256
from pathlib import Path
from typing import Any, Iterator

import pytest
import redis

from tests.servers import Server
from tests.support import Mesh, RawClient, free_port, start_mesh, until

KEYS = [sha256(b"%d" % each).hexdigest() for each in range(40)]


class Proxy:
    """A sidecar in front of servers."""

    def __init__(self, directory: Path, servers: list[Server], topology: str) -> None:
        self.servers = servers
        self.port = free_port()
        config = {
            "listeners": {
                "cache": {"protocol": "redis", "bind": f"127.0.0.1:{self.port}", "routes": [{"to": "servers"}]}
            },
            "clusters": {
                "servers": {
                    "endpoints": [each.address for each in servers],
                    "redis": {"topology": topology},
                    "pool": {"idle_timeout": "300ms"},
                }
            },
        }
        self.mesh: Mesh = start_mesh(json.dumps(config), directory)
        self.clients: list[Any] = []

    def client(self, protocol: int = 2, **options: Any) -> Any:
        one = redis.Redis("127.0.0.1", self.port, protocol=protocol, socket_timeout=20, **options)
        self.clients.append(one)
        return one

    def own_connections(self) -> int:
        """How many connections of clients' own are open."""
        text = self.mesh.get("/metrics").text
        lines = [each for each in text.splitlines() if 'protocol="redis_session"' in each and "connections" in each]
        return int(sum(float(each.rpartition(" ")[2]) for each in lines))

    def apart(self, client: Any) -> tuple[str, str]:
        """Return two keys on different servers; the same server where there is one."""
        if len(self.servers) == 1:
            return KEYS[0], KEYS[1]
        for key in KEYS:
            client.set(key, "x")
        on_first = [key for key in KEYS if self.servers[0]("EXISTS", key)]
        on_second = [key for key in KEYS if self.servers[1]("EXISTS", key)]
        return on_first[0], on_second[0]


@pytest.fixture(params=["single", "sharded"], scope="module")
def shared(request: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Proxy]:
    servers = [Server().start() for _ in range(1 if request.param == "single" else 2)]
    one = Proxy(tmp_path_factory.mktemp("sessions"), servers, request.param)
    yield one
    one.mesh.stop()
    for each in servers:
        each.stop()


@pytest.fixture
def proxy(shared: Proxy) -> Iterator[Proxy]:
    for each in shared.servers:
        each("FLUSHALL")
    yield shared
    for client in shared.clients:
        client.close()
    shared.clients.clear()
    until(lambda: shared.own_connections() == 0)


def test_messages_do_not_come_inside_of_a_large_reply(proxy: Proxy) -> None:
    value = bytes(range(256)) * 32_768
    proxy.client().set("large", value)
    with RawClient(proxy.port) as client:
        client.send(b"HELLO 3\r\n")
        client.read_until(b"modules\r\n*0\r\n")
        client.send(b"SUBSCRIBE news\r\n")
        assert client.read_until(b":1\r\n") == b">3\r\n$9\r\nsubscribe\r\n$4\r\nnews\r\n:1\r\n"
        client.send(b"GET large\r\nPING\r\n")
        head = client.read_exactly(1000)
        publisher = proxy.client()
        for _ in range(20):
            assert publisher.publish("news", "now") == 1
        rest = client.read_exactly(len(b"$%d\r\n" % len(value)) + len(value) + 2 - 1000)
        assert head + rest == b"$%d\r\n%b\r\n" % (len(value), value)
        message = b">3\r\n$7\r\nmessage\r\n$4\r\nnews\r\n$3\r\nnow\r\n"
        behind = client.read_exactly(20 * len(message) + len(b"+PONG\r\n"))
        assert behind.replace(b"+PONG\r\n", b"", 1) == 20 * message


@pytest.mark.parametrize("protocol", [2, 3])
def test_a_transaction(proxy: Proxy, protocol: int) -> None:
    client = proxy.client(protocol)
    for number in range(3):
        with client.pipeline(transaction=True) as pipe:
            pipe.set("{a}x", number).incr("{a}x").mget("{a}x", "{a}y").get("{a}x")
            assert pipe.execute() == [True, number + 1, [str(number + 1).encode(), None], str(number + 1).encode()]
    # Nothing of it is left: what comes next goes the common way, and the connection is used again.
    assert client.get("{a}x") == b"3"
    with client.pipeline(transaction=True) as pipe:
        pipe.get("{a}x")
        pipe.lpush("{a}x", "wrong type")
        with pytest.raises(redis.ResponseError, match="WRONGTYPE"):
            pipe.execute()
    assert client.ping()


def test_what_was_watched(proxy: Proxy) -> None:
    client, other = proxy.client(), proxy.client()
    with client.pipeline() as pipe:
        pipe.watch("{a}x")
        assert pipe.get("{a}x") is None
        pipe.multi()
        pipe.set("{a}x", "mine")
        assert pipe.execute() == [True]
        pipe.watch("{a}x")
        other.set("{a}x", "theirs")
        pipe.multi()
        pipe.set("{a}x", "mine again")
        with pytest.raises(redis.WatchError):
            pipe.execute()
        pipe.watch("{a}x")
        pipe.unwatch()
        other.set("{a}x", "theirs again")
        pipe.multi()
        pipe.set("{a}x", "at last")
        assert pipe.execute() == [True]
    assert client.get("{a}x") == b"at last"


def test_transactions_on_the_wire(proxy: Proxy) -> None:
    """What a library never sends: nested, unfinished, refused, discarded, with nothing in it."""
    with RawClient(proxy.port) as raw:

        def ask(text: str, lines: int = 1) -> list[bytes]:
            raw.send(b"".join(each.strip().encode() + b"\r\n" for each in text.split(";")))
            return [raw.read_until(b"\r\n")[:-2] for _ in range(lines)]

        assert ask("EXEC; DISCARD", 2) == [b"-ERR EXEC without MULTI", b"-ERR DISCARD without MULTI"]
        assert ask("MULTI; EXEC", 2) == [b"+OK", b"*0"]
        assert ask("MULTI; DISCARD", 2) == [b"+OK", b"+OK"]
        assert ask("MULTI; MULTI; WATCH a; SET a 1; EXEC", 6) == [
            b"+OK",
            b"-ERR MULTI calls can not be nested",
            b"-ERR WATCH inside MULTI is not allowed",
            b"+QUEUED",
            b"*1",
            b"+OK",
        ]
        aborted = b"-EXECABORT Transaction discarded because of previous errors."
        assert ask("MULTI; SET a 2; NOSUCH; EXEC; GET a", 6)[-3:] == [aborted, b"$1", b"1"]
        assert ask("MULTI; NOSUCH; SET a 2; EXEC; GET a", 6)[-3:] == [aborted, b"$1", b"1"]
        assert ask("MULTI; SET a; EXEC; GET a", 5)[-3:] == [aborted, b"$1", b"1"]
        assert ask("MULTI; SET a 2; DISCARD; GET a", 5)[-3:] == [b"+OK", b"$1", b"1"]
        assert ask("MULTI; SET a 3; PING; ECHO x; EXEC; GET a", 10) == [
            *[b"+OK", b"+QUEUED", b"+QUEUED", b"+QUEUED"],
            *[b"*3", b"+OK", b"+PONG", b"$1", b"x"],
            b"$1",
        ]
        raw.read_until(b"\r\n")
        # One in many commands that are not, all in one piece.
        assert ask("SET a 5; GET a; MULTI; INCR a; GET a; EXEC; GET a; SET a 9; GET a", 15) == [
            *[b"+OK", b"$1", b"5", b"+OK", b"+QUEUED", b"+QUEUED"],
            *[b"*2", b":6", b"$1", b"6", b"$1", b"6", b"+OK", b"$1", b"9"],
        ]


def test_keys_of_several_servers_are_no_transaction(proxy: Proxy) -> None:
    client = proxy.client()
    one, two = proxy.apart(client)
    with client.pipeline(transaction=True) as pipe:
        pipe.set(one, 1)
        pipe.set(two, 2)
        if len(proxy.servers) == 1:
            assert pipe.execute() == [True, True]
            return
        with pytest.raises(redis.RedisError, match="don't hash to the same slot"):
            pipe.execute()
    assert client.get(one) == b"x"


@pytest.mark.parametrize("protocol", [2, 3])
def test_channels_and_patterns(proxy: Proxy, protocol: int) -> None:
    listener, speaker = proxy.client(protocol), proxy.client()
    with listener.pubsub() as heard:
        heard.subscribe(*[f"news:{each}" for each in range(8)])
        heard.psubscribe("n*:[0-3]", "other")
        told = [heard.get_message(timeout=10) for _ in range(10)]
        assert [each["type"] for each in told] == ["subscribe"] * 8 + ["psubscribe"] * 2
        assert [each["data"] for each in told] == list(range(1, 11))
        for number in range(8):
            speaker.publish(f"news:{number}", f"text {number}")
        messages = [heard.get_message(timeout=10) for _ in range(12)]
        assert sorted((each["type"], each["channel"], each["data"]) for each in messages) == sorted(
            [("message", f"news:{each}".encode(), f"text {each}".encode()) for each in range(8)]
            + [("pmessage", f"news:{each}".encode(), f"text {each}".encode()) for each in range(4)]
        )
        heard.ping()
        assert until(lambda: heard.get_message(timeout=1))["type"] == "pong"
        heard.unsubscribe()
        heard.punsubscribe()
        closed = [heard.get_message(timeout=10) for _ in range(10)]
        assert {each["type"] for each in closed} == {"unsubscribe", "punsubscribe"}
        assert closed[-1]["data"] == 0
    until(lambda: proxy.own_connections() == 0)
    assert all(server("PUBSUB", "NUMPAT") == 0 for server in proxy.servers)


def test_who_listens_may_do_little_else_in_the_old_protocol(proxy: Proxy) -> None:
    with RawClient(proxy.port) as raw:
        raw.send(b"SUBSCRIBE a\r\n")
        assert raw.read_until(b":1\r\n") == b"*3\r\n$9\r\nsubscribe\r\n$1\r\na\r\n:1\r\n"
        raw.send(b"GET a\r\nPING\r\nPING x\r\n")
        assert raw.read_until(b"\r\n").startswith(b"-ERR Can't execute 'get': only (P|S)SUBSCRIBE")
        assert raw.read_until(b"$1\r\nx\r\n") == b"*2\r\n$4\r\npong\r\n$0\r\n\r\n*2\r\n$4\r\npong\r\n$1\r\nx\r\n"
        raw.send(b"UNSUBSCRIBE\r\nUNSUBSCRIBE\r\nUNSUBSCRIBE b\r\nGET a\r\n")
        assert raw.read_until(b"$-1\r\n:0\r\n") == (
            b"*3\r\n$11\r\nunsubscribe\r\n$1\r\na\r\n:0\r\n*3\r\n$11\r\nunsubscribe\r\n$-1\r\n:0\r\n"
        )
        assert raw.read_until(b"$-1\r\n") == b"*3\r\n$11\r\nunsubscribe\r\n$1\r\nb\r\n:0\r\n$-1\r\n"
        raw.send(b"SUBSCRIBE a\r\nRESET\r\nGET a\r\n")
        assert raw.read_until(b"$-1\r\n").endswith(b"+RESET\r\n$-1\r\n")


def test_sharded_channels(proxy: Proxy) -> None:
    with RawClient(proxy.port) as raw:
        raw.send(b"SSUBSCRIBE one\r\n")
        raw.read_until(b":1\r\n")
        assert proxy.client().execute_command("SPUBLISH", "one", "x") == 1
        assert raw.read_until(b"$1\r\nx\r\n") == b"*3\r\n$8\r\nsmessage\r\n$3\r\none\r\n$1\r\nx\r\n"


def test_commands_and_messages_on_one_connection(proxy: Proxy) -> None:
    """What RESP3 makes possible."""
    with RawClient(proxy.port) as raw:
        raw.send(b"HELLO 3\r\n")
        raw.read_until(b"modules\r\n*0\r\n")
        raw.send(b"SUBSCRIBE a\r\nSET x 1\r\nGET x\r\n")
        assert raw.read_until(b"$1\r\n1\r\n") == b">3\r\n$9\r\nsubscribe\r\n$1\r\na\r\n:1\r\n+OK\r\n$1\r\n1\r\n"
        proxy.client().publish("a", "hello")
        assert raw.read_until(b"hello\r\n") == b">3\r\n$7\r\nmessage\r\n$1\r\na\r\n$5\r\nhello\r\n"


def test_waiting_for_a_list(proxy: Proxy) -> None:
    client, other = proxy.client(), proxy.client()
    got: list[Any] = []
    threads = [
        threading.Thread(target=lambda: got.append(proxy.client().blpop(["{q}1", "{q}2"], 20))) for _ in range(3)
    ]
    for each in threads:
        each.start()
    until(lambda: proxy.own_connections() == 3)
    # Others are not held up by those who wait.
    assert other.ping()
    assert other.set("x", 1)
    for number in range(3):
        other.rpush("{q}2", number)
    for each in threads:
        each.join(20)
    assert sorted(got) == [(b"{q}2", b"0"), (b"{q}2", b"1"), (b"{q}2", b"2")]
    assert client.blpop("{q}1", 0.2) is None
    assert client.brpoplpush("{q}1", "{q}2", 1) is None
    other.xadd("{q}s", {"a": "b"})
    assert client.xread({"{q}s": "0"}, block=1000)[0][0] == b"{q}s"
    assert client.xread({"{q}s": "$"}, block=100) == []


def test_what_comes_behind_a_command_that_waits(proxy: Proxy) -> None:
    with RawClient(proxy.port) as raw:
        raw.send(b"BLPOP q 0\r\nSET after 1\r\nGET after\r\n")
        until(lambda: proxy.own_connections() == 1)
        other = proxy.client()
        assert other.get("after") is None
        other.rpush("q", "go")
        assert raw.read_until(b"$1\r\n1\r\n") == b"*2\r\n$1\r\nq\r\n$2\r\ngo\r\n+OK\r\n$1\r\n1\r\n"


def test_who_goes_away_while_waiting_takes_nothing(proxy: Proxy) -> None:
    raw = RawClient(proxy.port)
    raw.send(b"BLPOP q 0\r\n")
    until(lambda: proxy.own_connections() == 1)
    raw.close()
    until(lambda: proxy.own_connections() == 0)
    client = proxy.client()
    client.rpush("q", "kept")
    assert client.llen("q") == 1


def test_a_server_that_is_lost_ends_what_was_held_there(proxy: Proxy) -> None:
    """A listener hears of it and is closed, a transaction fails, and everybody can begin anew."""
    with RawClient(proxy.port) as listener, RawClient(proxy.port) as writer, RawClient(proxy.port) as waiter:
        listener.send(b"PSUBSCRIBE *\r\n")
        listener.read_until(b":1\r\n")
        writer.send(b"MULTI\r\nSET a 1\r\n")
        writer.read_until(b"+QUEUED\r\n")
        waiter.send(b"BLPOP a 0\r\n")
        until(lambda: proxy.own_connections() >= 3)
        for server in proxy.servers:
            server.kill()
        assert listener.read_to_end().startswith(b"-MESHFAILURE upstream failure")
        assert waiter.read_until(b"\r\n").startswith(b"-MESHFAILURE")
        for server in proxy.servers:
            server.start()
        writer.send(b"SET a 2\r\nEXEC\r\n")
        assert b"-EXECABORT" in writer.read_until(b"EXECABORT")
    client = proxy.client()
    until(lambda: client.ping() and client.get("a") is None)
    with client.pipeline(transaction=True) as pipe:
        assert pipe.set("a", 3).execute() == [True]


def test_replies_that_nobody_wants(proxy: Proxy) -> None:
    with RawClient(proxy.port) as raw:
        raw.send(b"CLIENT REPLY OFF\r\nSET a 1\r\nPING\r\nGET a\r\nCLIENT REPLY ON\r\nGET a\r\n")
        assert raw.read_until(b"$1\r\n1\r\n") == b"+OK\r\n$1\r\n1\r\n"
        raw.send(b"CLIENT REPLY SKIP\r\nSET a 2\r\nGET a\r\n")
        assert raw.read_until(b"\r\n2\r\n") == b"$1\r\n2\r\n"


def test_tracking_and_monitor_are_one_servers(proxy: Proxy) -> None:
    with RawClient(proxy.port) as raw:
        raw.send(b"HELLO 3\r\n")
        raw.read_until(b"modules\r\n*0\r\n")
        raw.send(b"CLIENT TRACKING ON\r\n")
        answer = raw.read_until(b"\r\n")
        if len(proxy.servers) > 1:
            assert answer.startswith(b"-ERR 'client tracking' command is not supported where keys are on several")
            raw.send(b"MONITOR\r\nGET a\r\n")
            assert raw.read_until(b"_\r\n").startswith(b"-ERR 'monitor' command is not supported")
            return
        assert answer == b"+OK\r\n"
        raw.send(b"GET a\r\n")
        raw.read_until(b"_\r\n")
        proxy.client().set("a", 1)
        assert raw.read_until(b"a\r\n") == b">2\r\n$10\r\ninvalidate\r\n*1\r\n$1\r\na\r\n"
        raw.send(b"CLIENT TRACKING OFF\r\nMONITOR\r\n")
        assert raw.read_until(b"+OK\r\n+OK\r\n")
        proxy.client().set("b", 1)
        assert raw.read_until(b'"SET" "b" "1"\r\n')


def test_replies_that_look_like_messages(proxy: Proxy) -> None:
    if len(proxy.servers) > 1:
        pytest.skip("tracking is one server's")
    client = RawClient(proxy.port)
    words = [["HELLO", "3"], ["RPUSH", "l", "message", "a", "b"], ["SUBSCRIBE", "c"], ["CLIENT", "TRACKING", "ON"]]
    words += [["LRANGE", "l", "0", "-1"], ["ECHO", "end"]]
    for each in words:
        client.send(" ".join(each).encode() + b"\r\n")
    said = client.read_until(b"$3\r\nend\r\n")
    assert said.endswith(b"+OK\r\n*3\r\n$7\r\nmessage\r\n$1\r\na\r\n$1\r\nb\r\n$3\r\nend\r\n")
    client.close()


def test_transactions_in_one_write(proxy: Proxy) -> None:
    transaction = b"MULTI\r\nINCR {a}n\r\nEXEC\r\n"
    queued = b"+OK\r\n+QUEUED\r\n*1\r\n:%d\r\n"
    with RawClient(proxy.port) as client:
        client.send(
            transaction * 3 + b"WATCH {a}n\r\nUNWATCH\r\n" + transaction + b"MULTI\r\nDISCARD\r\n" + transaction
        )
        expected = b"".join(queued % each for each in (1, 2, 3)) + b"+OK\r\n+OK\r\n" + queued % 4
        expected += b"+OK\r\n+OK\r\n" + queued % 5
        assert client.read_exactly(len(expected)) == expected


def test_a_connection_of_a_client_that_did_not_read_is_read_again(proxy: Proxy) -> None:
    proxy.client().set("{a}large", b"x" * 4_000_000)
    with RawClient(proxy.port) as slow:
        slow.send(b"MULTI\r\n" + b"GET {a}large\r\n" * 8 + b"EXEC\r\n")
        slow.read_until(b"*8\r\n")
        # It is given back once the reply is on its way, whoever takes that.
        other = proxy.client()
        for _ in range(3):
            with other.pipeline(transaction=True) as pipe:
                assert pipe.strlen("{a}large").execute() == [4_000_000]


@pytest.mark.parametrize("how", ["TIMEOUT", "ERROR"])
def test_a_client_that_waits_is_unblocked(proxy: Proxy, how: str) -> None:
    """By its server, so that an element goes to the client or stays: none is lost between the two."""
    client, waiting = proxy.client(), proxy.client(single_connection_client=True)
    number = waiting.client_id()
    assert client.client_unblock(number) == 0
    heard: list[Any] = []

    def wait() -> None:
        try:
            heard.append(waiting.execute_command("BLPOP", "q", "0"))
        except redis.ResponseError as error:
            heard.append(str(error))

    for round in range(6):
        thread = threading.Thread(target=wait)
        thread.start()
        pushed = round % 2
        if pushed:
            # Whichever comes first.
            client.rpush("q", round)
        alive = thread.is_alive
        until(lambda alive=alive: client.client_unblock(number, error=how == "ERROR") or not alive())
        thread.join(20)
        said = heard.pop()
        if isinstance(said, (list, tuple)):
            assert pushed
        else:
            assert said == (None if how == "TIMEOUT" else "UNBLOCKED client unblocked via CLIENT UNBLOCK")
            assert client.llen("q") == pushed
        client.delete("q")
    waiting.set("a", 1)
    assert waiting.get("a") == b"1"


def test_a_script_that_does_not_end_is_killed(proxy: Proxy) -> None:
    client, endless = proxy.client(db=3), proxy.client()
    client.config_set("lua-time-limit", 20)
    said: list[str] = []

    def run() -> None:
        try:
            endless.eval("while true do end", 1, "a")
        except redis.RedisError as error:
            said.append(str(error))

    running = threading.Thread(target=run, daemon=True)
    running.start()
    assert until(client.script_kill)
    running.join(20)
    assert "Script killed by user" in said[0]
    with pytest.raises(redis.ResponseError, match=r"No scripts in execution"):
        client.script_kill()
    assert client.set("a", 1) is True


def test_a_function_that_does_not_end_is_seen_and_killed(proxy: Proxy) -> None:
    client, endless = proxy.client(db=3), proxy.client()
    client.config_set("lua-time-limit", 20)
    body = "redis.register_function('endless', function() while true do end end)"
    client.function_load(f"#!lua name=odd\n{body}", replace=True)

    def run() -> None:
        with pytest.raises(redis.ResponseError):
            endless.fcall("endless", 1, "a")

    running = threading.Thread(target=run, daemon=True)
    running.start()
    try:
        assert b"endless" in until(lambda: client.function_stats()[1])
    finally:
        assert until(client.function_kill) == b"OK"
    running.join(20)
    assert client.function_stats()[1] is None


@pytest.mark.parametrize("protocol", [2, 3])
def test_settings_of_servers(proxy: Proxy, protocol: int) -> None:
    client = proxy.client(protocol)
    client.config_set("slowlog-max-len", 77)
    assert client.config_get("slowlog-max-l*", "nosuch") == {"slowlog-max-len": "77"}
    assert client.config_get("nosuch") == {}
    with client.pipeline() as pipe, pytest.raises(redis.ResponseError, match="not supported within transaction"):
        pipe.config_get("*").execute()


def test_passwords_of_servers_are_not_shown(proxy: Proxy) -> None:
    client = proxy.client()
    try:
        for each in proxy.servers:
            each("CONFIG", "SET", "masterauth", "sesame")
        assert client.config_get("*auth*")["masterauth"] == ""
    finally:
        for each in proxy.servers:
            each("CONFIG", "SET", "masterauth", "")


def test_a_script_that_was_run_once_is_known_wherever_its_keys_are(proxy: Proxy) -> None:
    """As a library takes it that has sent it to what it takes for one server, such as ioredis in a pipeline."""
    client = proxy.client()
    here, there = proxy.apart(client)
    client.script_flush()
    text = "return redis.call('SET', KEYS[1], ARGV[1])"
    sha = sha1(text.encode()).hexdigest()
    assert client.eval(text, 1, here, "a") == b"OK"
    with client.pipeline(transaction=False) as pipe:
        assert pipe.evalsha(sha, 1, there, "b").get(there).evalsha(sha, 1, here, "c").execute() == [b"OK", b"b", b"OK"]
    client.script_flush()
    with pytest.raises(redis.exceptions.NoScriptError):
        client.evalsha(sha, 1, here, "d")
    client.eval(text, 1, here, "a")
    with client.pipeline(transaction=True) as pipe:
        assert pipe.evalsha(sha, 1, there, "b").get(there).execute() == [b"OK", b"b"]
