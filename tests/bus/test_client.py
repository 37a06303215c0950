"""Commands at a real server, and what becomes of them when it is away, slow, full or another one."""

from __future__ import annotations

import random
import time
from typing import Any, Callable

import pytest
from twisted.internet.defer import CancelledError, DeferredList

from tests.servers import Live, Server
from tests.support import TcpUpstream
from twisted_mesh.bus import client as module
from twisted_mesh.bus.client import BusError, Redis, Script
from twisted_mesh.metrics import Registry
from twisted_mesh.model.redis import parse

MakeServer = Callable[..., Server]
MakeRedis = Callable[..., Redis]


def error(live: Live, what: Callable[[], Any]) -> BusError:
    """Return the error that a command comes to."""
    with pytest.raises(BusError) as caught:
        live.run(what)
    return caught.value


async def outcomes(deferreds: list[Any]) -> list[Any]:
    """Return the results of all, or their errors."""
    found = await DeferredList(list(deferreds), consumeErrors=True)
    return [result if good else result.value for good, result in found]


# --- while all is well


def test_answers_are_what_the_server_said(live: Live, redis_server: Server, redis: MakeRedis) -> None:
    """Numbers in texts stay texts, and bytes stay bytes."""
    one = redis(redis_server.url)

    async def talk() -> list[Any]:
        await one.command("SET", "text", "007")
        await one.command("SET", b"\xff\x00", b"\x80\r\n")
        await one.command("RPUSH", "list", "1.50", "", "é")
        return [
            await one.command("GET", "text"),
            await one.command("GET", b"\xff\x00"),
            await one.command("INCRBY", "count", 3),
            await one.command("GET", "nothing"),
            await one.command("LRANGE", "list", 0, -1),
            await one.command("EVAL", "return {1, {ARGV[1], false}, {}}", 0, 1.5),
        ]

    assert live.run(talk()) == [
        b"007",
        b"\x80\r\n",
        3,
        None,
        [b"1.50", b"", "é".encode()],
        [1, [b"1.5", None], []],
    ]


def test_commands_that_are_under_way_together_get_their_own_answers(
    live: Live, redis_server: Server, redis: MakeRedis
) -> None:
    one = redis(redis_server.url)
    asked = live.run(outcomes_of(lambda: [one.command("ECHO", str(each)) for each in range(500)]))
    assert asked == [str(each).encode() for each in range(500)]


def outcomes_of(make: Callable[[], list[Any]]) -> Any:
    async def run() -> list[Any]:
        return await outcomes(make())

    return run


def test_a_script_is_sent_once_to_each_server_that_does_not_know_it(
    live: Live, redis_server: Server, redis: MakeRedis
) -> None:
    one = redis(redis_server.url)
    script = Script("pair", "return {KEYS[1], ARGV[1]}")

    def run() -> Any:
        return one.script(script, ["k"], ["v"])

    assert live.run(run) == [b"k", b"v"]
    assert redis_server("SCRIPT", "EXISTS", script.sha) == [1]
    redis_server("SCRIPT", "FLUSH")
    assert live.run(run) == [b"k", b"v"]
    calls = redis_server("INFO", "commandstats").decode()
    assert live.run(run) == [b"k", b"v"]
    assert "cmdstat_eval:calls=2," in calls
    assert "cmdstat_eval:calls=2," in redis_server("INFO", "commandstats").decode()


def test_the_error_of_a_script_is_its_own(live: Live, redis_server: Server, redis: MakeRedis) -> None:
    one = redis(redis_server.url)
    refused = error(live, lambda: one.script(Script("no", "return {err='CONFLICT somebody was faster'}"), [], []))
    assert (refused.kind, refused.code) == ("refused", "CONFLICT")
    assert str(refused) == f"redis {redis_server.address}: CONFLICT somebody was faster"
    inside = live.run(lambda: one.script(Script("in", "return {1, {err='INNER one'}}"), [], []))
    assert isinstance(inside[1], BusError)
    assert inside[1].code == "INNER"


def outcome_of(deferred: Any) -> Any:
    return deferred.addErrback(lambda failure: failure.value)


def test_what_the_server_refuses_leaves_the_connection_alone(
    live: Live, redis_server: Server, redis: MakeRedis, metrics: Registry
) -> None:
    one = redis(redis_server.url)
    refused = error(live, lambda: one.command("INCR"))
    assert (refused.kind, refused.code, refused.sent) == ("refused", "ERR", True)
    assert live.run(lambda: one.command("PING")) == b"PONG"
    assert 'twisted_mesh_bus_commands_total{result="refused"} 1' in metrics.expose().decode()
    assert 'twisted_mesh_bus_connects_total{link="commands"} 1' in metrics.expose().decode()
    assert 'twisted_mesh_bus_connected{link="commands"} 1' in metrics.expose().decode()


def test_a_command_that_is_cancelled_does_not_shift_the_answers_of_others(
    live: Live, redis_server: Server, redis: MakeRedis
) -> None:
    one = redis(redis_server.url)

    async def talk() -> list[Any]:
        first, second = one.command("ECHO", "first"), one.command("ECHO", "second")
        first.cancel()
        return await outcomes([first, second])

    cancelled, second = live.run(talk())
    assert isinstance(cancelled, CancelledError)
    assert second == b"second"


# --- while the server is away


def test_commands_while_it_is_down_fail_at_once_and_never_run(
    live: Live, redis_servers: MakeServer, redis: MakeRedis, metrics: Registry
) -> None:
    """A thousand of them: none waits, none runs when the server is back."""
    server = redis_servers("--appendonly", "yes")
    one = redis(server.url)
    server.kill()
    live.until(lambda: not one.connected)

    def ask() -> list[BusError]:
        failed: list[BusError] = []
        for each in range(1000):
            one.command("SET", f"late-{each}", 1).addErrback(lambda failure: failed.append(failure.value))
        return failed

    # Nothing else ran in between: each had failed when `command` returned.
    failed = live.run(ask)
    assert len(failed) == 1000
    assert {(each.kind, each.sent) for each in failed} == {("down", False)}
    server.start()
    live.until(lambda: one.connected)
    assert live.run(lambda: one.command("DBSIZE")) == 0
    assert 'twisted_mesh_bus_commands_total{result="down"} 1000' in metrics.expose().decode()


def test_a_server_that_comes_late_is_found(live: Live, redis_servers: MakeServer, redis: MakeRedis) -> None:
    server = redis_servers()
    server.kill()
    one = redis(server.url, wait=False)
    live.until(lambda: "refused" in one.trouble)
    assert one.trouble == f"redis {server.address}: connection refused"
    early = error(live, lambda: one.up(0.05))
    assert (early.kind, str(early)) == ("down", one.trouble)
    server.start()
    live.run(lambda: one.up(10))
    assert one.trouble == ""
    assert one.server == server.address
    live.run(lambda: one.up(0))


def test_a_server_that_is_killed_and_restarted_is_found_again(
    live: Live, redis_server: Server, redis: MakeRedis
) -> None:
    one = redis(redis_server.url)
    seen: list[str] = []
    one.on_up += [lambda: seen.append("up"), lambda: 1 / 0]
    one.on_down.append(lambda: seen.append(f"down, connected: {one.connected}"))
    for _ in range(3):
        redis_server.restart()
        live.until(lambda: one.connected and seen[-1:] == ["up"], repr(seen))
        seen.append("-")
    assert seen == ["down, connected: False", "up", "-"] * 3


def test_what_is_under_way_when_the_server_dies_fails_as_sent(
    live: Live, redis_server: Server, redis: MakeRedis
) -> None:
    one = redis(redis_server.url)
    redis_server.pause()
    asked = live.run(lambda: [[one.command("INCR", "x").addErrback(lambda failure: failure.value) for _ in range(50)]])
    redis_server.kill()
    live.until(lambda: all(each.called for each in asked[0]))
    errors = [each.result for each in asked[0]]
    assert {(each.kind, each.sent) for each in errors} == {("down", True)}
    assert str(errors[0]).startswith(f"redis {redis_server.address}: the ")


# --- while it hangs


def test_a_server_that_hangs_costs_one_timeout_and_no_answer_is_mistaken(
    live: Live, redis_server: Server, redis: MakeRedis
) -> None:
    one = redis(redis_server.url, timeout=0.3)
    redis_server("SET", "x", "0")
    redis_server.pause()
    asked = live.run(outcomes_of(lambda: [one.command("GET", "x"), one.command("ECHO", "a"), one.command("ECHO", "b")]))
    assert [each.kind for each in asked] == ["timeout", "down", "down"]
    assert str(asked[0]) == f"redis {redis_server.address}: no answer to GET within 0.3 s"
    assert all(each.sent for each in asked)
    live.until(lambda: one.trouble.endswith("no answer to PING within 0.3 s"))
    redis_server.resume()
    live.until(lambda: one.connected)
    assert live.run(outcomes_of(lambda: [one.command("ECHO", str(each)) for each in range(3)])) == [b"0", b"1", b"2"]


def test_a_dead_connection_is_found_though_nobody_asks(
    live: Live, redis_server: Server, redis: MakeRedis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("twisted_mesh.bus.upkeep.PING_EVERY", 0.05)
    one = redis(redis_server.url, timeout=0.2)
    redis_server.pause()
    live.until(lambda: not one.connected)
    redis_server.resume()
    live.until(lambda: one.connected)


def test_a_slow_server_is_waited_for_as_long_as_was_said(live: Live, redis_server: Server, redis: MakeRedis) -> None:
    one = redis(redis_server.url, timeout=0.2)
    redis_server("CLIENT", "PAUSE", 600, "ALL")
    assert live.run(lambda: one.command("ECHO", "at last", timeout=10)) == b"at last"
    redis_server("CLIENT", "PAUSE", 600, "ALL")
    assert error(live, lambda: one.command("ECHO", "too late")).kind == "timeout"
    live.until(lambda: one.connected)
    assert live.run(lambda: one.command("ECHO", "now")) == b"now"


def test_no_more_than_so_many_commands_wait(
    live: Live, redis_server: Server, redis: MakeRedis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MAX_UNANSWERED", 8)
    one = redis(redis_server.url)
    redis_server.pause()
    asked = live.run(lambda: [[outcome_of(one.command("INCR", "x")) for _ in range(10)]])[0]
    assert [each.called for each in asked] == [False] * 8 + [True] * 2
    assert (asked[9].result.kind, asked[9].result.sent) == ("busy", False)
    redis_server.resume()
    live.until(lambda: all(each.called for each in asked))
    assert [each.result for each in asked[:8]] == [1, 2, 3, 4, 5, 6, 7, 8]
    assert redis_server("GET", "x") == b"8"


def test_no_more_than_so_many_bytes_wait(
    live: Live, redis_server: Server, redis: MakeRedis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that is larger than all may pass, if nothing waits."""
    monkeypatch.setattr(module, "MAX_UNANSWERED_BYTES", 1000)
    one = redis(redis_server.url)
    live.run(lambda: one.command("SET", "x", "y" * 5000))
    redis_server.pause()
    asked = live.run(lambda: [[outcome_of(one.command("SET", "x", "y" * 600)) for _ in range(4)]])[0]
    assert [each.called for each in asked] == [False, False, True, True]
    assert asked[2].result.kind == "busy"
    redis_server.resume()
    live.until(lambda: all(each.called for each in asked))
    assert live.run(lambda: one.command("STRLEN", "x")) == 600


# --- who we are


def test_a_wrong_password_may_be_put_right_later(live: Live, redis_servers: MakeServer, redis: MakeRedis) -> None:
    server = redis_servers(password="right")
    one = redis(f"redis://:wrong@{server.address}", wait=False)
    live.until(lambda: "WRONGPASS" in one.trouble)
    assert "wrong@" not in repr(one)
    assert ":wrong" not in one.trouble
    assert error(live, lambda: one.command("GET", "x")).kind == "down"
    server("CONFIG", "SET", "requirepass", "wrong")
    live.until(lambda: one.connected)
    server.password = "wrong"
    assert live.run(lambda: one.command("PING")) == b"PONG"


def test_a_password_that_is_missing_is_said(live: Live, redis_servers: MakeServer, redis: MakeRedis) -> None:
    server = redis_servers(password="right")
    one = redis(f"redis://{server.address}", wait=False)
    live.until(lambda: "NOAUTH" in one.trouble)


def test_a_server_that_stops_while_it_is_asked_for_entry_is_tried_again(
    live: Live, redis_servers: MakeServer, redis: MakeRedis
) -> None:
    """It accepts connections and answers nothing, so AUTH takes as long as it may; then it goes on."""
    server = redis_servers(password="right")
    server.pause()
    one = redis(server.url, timeout=0.3, wait=False)
    live.until(lambda: one.trouble == f"redis {server.address}: no answer to AUTH within 0.3 s", one.trouble)
    server.resume()
    live.until(lambda: one.connected)
    assert live.run(lambda: one.command("PING")) == b"PONG"


def test_acl_users(live: Live, redis_server: Server, redis: MakeRedis) -> None:
    redis_server("ACL", "SETUSER", "mesh", "on", ">p:w@/", "~mesh:{shop}:*", "&mesh:{shop}:*", "+@all", "-@admin")
    one = redis(f"redis://mesh:p%3Aw%40%2F@{redis_server.address}")
    assert live.run(lambda: one.command("SET", "mesh:{shop}:a", 1)) == b"OK"
    assert error(live, lambda: one.command("SET", "b", 1)).code == "NOPERM"
    assert live.run(lambda: one.command("ACL", "WHOAMI")) == b"mesh"
    least = redis(redis_server.url.replace("/0", "/2"), username="mesh", password="p:w@/")
    assert live.run(lambda: least.command("ACL", "WHOAMI")) == b"mesh"
    live.run(lambda: least.command("SET", "mesh:{shop}:two", 2))
    with redis_server.connect() as conversation:
        conversation("SELECT", 2)
        assert conversation("KEYS", "*") == [b"mesh:{shop}:two"]


def test_a_user_that_may_not_ask_what_the_server_is_gets_in(live: Live, redis_server: Server, redis: MakeRedis) -> None:
    redis_server("ACL", "SETUSER", "least", "on", ">pw", "~*", "+get", "+ping")
    one = redis(f"redis://least:pw@{redis_server.address}")
    assert live.run(lambda: one.command("GET", "x")) is None


def test_unix_sockets(live: Live, redis_servers: MakeServer, redis: MakeRedis) -> None:
    server = redis_servers(password="pw")
    one = redis(server.unix_url + "?db=3")
    live.run(lambda: one.command("SET", "x", 1))
    assert one.server == f"unix:{server.socket}"
    assert b"db3:keys=1" in server("INFO", "keyspace")
    gone = redis("unix:///nowhere/redis.sock", wait=False)
    live.until(lambda: gone.trouble == "redis unix:/nowhere/redis.sock: No such file or directory", gone.trouble)


# --- when it cannot serve


def test_a_full_server_refuses_and_stays(live: Live, redis_server: Server, redis: MakeRedis) -> None:
    one = redis(redis_server.url)
    redis_server("CONFIG", "SET", "maxmemory", 1)
    full = error(live, lambda: one.command("SET", "x", "y"))
    assert (full.kind, full.code) == ("refused", "OOM")
    assert "used memory" in str(full)
    assert live.run(lambda: one.command("GET", "x")) is None
    redis_server("CONFIG", "SET", "maxmemory", 0)
    assert live.run(lambda: one.command("SET", "x", "y")) == b"OK"


def test_a_server_that_became_a_replica_is_left_until_it_is_a_master_again(
    live: Live, redis_servers: MakeServer, redis: MakeRedis
) -> None:
    master, server = redis_servers(), redis_servers()
    one = redis(server.url)
    server("REPLICAOF", "127.0.0.1", master.port)
    refused = error(live, lambda: one.command("SET", "x", 1))
    assert (refused.kind, refused.code) == ("refused", "READONLY")
    assert not one.connected
    live.until(lambda: one.trouble.endswith("it is a replica; the mesh needs its master"), one.trouble)
    server("REPLICAOF", "NO", "ONE")
    live.until(lambda: one.connected)


def test_of_several_addresses_the_master_is_taken(live: Live, redis_servers: MakeServer, redis: MakeRedis) -> None:
    master, replica, gone = redis_servers(), redis_servers(), redis_servers()
    replica("REPLICAOF", "127.0.0.1", master.port)
    gone.kill()
    one = redis(f"redis://{gone.address},{replica.address},{master.address}")
    assert one.server == master.address


def test_a_server_that_loads_its_data_is_waited_for(live: Live, redis_servers: MakeServer, redis: MakeRedis) -> None:
    server = redis_servers("--appendonly", "no")
    for each in range(20):
        server("SET", f"k{each}", "x" * 4096)
    server("SAVE")
    server.kill()
    slow = redis_servers(
        "--key-load-delay",
        100_000,
        "--loading-process-events-interval-bytes",
        1024,
        directory=server.directory,
        wait=False,
    )
    one = redis(slow.url, wait=False)
    live.until(lambda: "LOADING" in one.trouble)
    live.until(lambda: one.connected)
    assert live.run(lambda: one.command("DBSIZE")) == 20


def test_what_is_no_redis_is_said(live: Live, redis: MakeRedis, tcp_upstream: Callable[..., TcpUpstream]) -> None:
    web = tcp_upstream(lambda client: client.send(b"HTTP/1.1 400 Bad Request\r\n\r\n"))
    one = redis(f"redis://{web.address}", wait=False)
    live.until(lambda: "not the Redis protocol" in one.trouble, one.trouble)
    deaf = tcp_upstream(lambda client: client.read_to_end())
    two = redis(f"redis://{deaf.address}", wait=False, timeout=0.2)
    live.until(lambda: two.trouble == f"redis {deaf.address}: no answer to PING within 0.2 s", two.trouble)


def test_an_answer_that_nobody_asked_for_ends_the_connection(
    live: Live, redis: MakeRedis, tcp_upstream: Callable[..., TcpUpstream]
) -> None:
    def talk(client: Any) -> None:
        client.send(b"+PONG\r\n-ERR unknown command\r\n+MORE\r\n")
        client.read_to_end()

    one = redis(f"redis://{tcp_upstream(talk).address}", wait=False, timeout=0.5)
    live.until(lambda: "an answer that nobody asked for" in one.trouble, one.trouble)


def test_an_answer_beyond_all_measure_ends_the_connection(
    live: Live, redis_server: Server, redis: MakeRedis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("twisted_mesh.bus.wire.MAX_ANSWER", 1 << 20)
    one = redis(redis_server.url)
    redis_server("SET", "large", "x" * (1 << 21))
    refused = error(live, lambda: one.command("GET", "large"))
    assert (refused.kind, refused.detail) == ("down", "an answer of more than 1 MiB")
    live.until(lambda: one.connected)


# --- its end


def test_after_its_end_nothing_is_left(live: Live, redis_server: Server, redis: MakeRedis) -> None:
    before = len(live.run(live.reactor.getDelayedCalls))
    one = redis(redis_server.url)
    waiting = redis("redis://127.0.0.1:1", wait=False)
    redis_server.pause()
    asked = live.run(lambda: [outcome_of(one.command("GET", "x")), outcome_of(waiting.up(30))])
    live.run(one.stop)
    live.run(waiting.stop)
    live.run(one.stop)
    redis_server.resume()
    assert [(each.called, each.result.kind, each.result.sent) for each in asked] == [
        (True, "down", True),
        (True, "down", False),
    ]
    assert (one.connected, one.trouble) == (False, "stopped")
    assert str(error(live, lambda: one.command("GET", "x"))) == "stopped"
    assert len(live.run(live.reactor.getDelayedCalls)) == before


def test_an_embedded_server_has_to_be_started_by_somebody(live: Live) -> None:
    with pytest.raises(ValueError, match="started first"):
        Redis(parse("embedded"), reactor=live.reactor, random=random.Random(), metrics=Registry(), now=time.monotonic)
