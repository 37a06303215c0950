"""Groups of real Redis servers behind one address: clients see one server."""

from __future__ import annotations

import signal
from pathlib import Path
from typing import Any, Callable, Iterator, Optional

import pytest

from tests.e2e.redis_load import Load, Owner, packed
from tests.redis_groups import Cluster, Watched
from tests.servers import Conversation, Refused, Server
from tests.support import Mesh, RawClient, free_port, start_mesh, until
from twisted_mesh.policy.key_hash import KEY_HASHES
from twisted_mesh.policy.shards import Ketama

Start = Callable[..., Mesh]


def mesh_of(directory: Path, filters: Optional[dict[str, str]] = None, **clusters: str) -> Mesh:
    """Start a sidecar with a Redis listener before each of these clusters; its `ports` say where.

    :param filters: of some of the listeners, by name.
    """
    filters = filters or {}
    ports = {name: free_port() for name in clusters}
    text = "access_log: off\nlisteners:\n" + "".join(
        f"  {name}: {{protocol: redis, bind: 127.0.0.1:{port}, routes: [{{to: {name}}}], filters: {filters.get(name, [])}}}\n"
        for name, port in ports.items()
    )
    text += "clusters:\n" + "".join(f"  {name}: {config}\n" for name, config in clusters.items())
    mesh = start_mesh(text, directory)
    mesh.ports.update(ports)
    return mesh


def addresses(servers: list[Server]) -> str:
    return f"[{', '.join(each.address for each in servers)}]"


def scanned(link: Conversation, *options: Any) -> list[bytes]:
    """All keys that one iteration of SCAN gives."""
    keys: list[bytes] = []
    cursor = b"0"
    for _ in range(10_000):
        cursor, found = link("SCAN", cursor, *options)
        keys += found
        if cursor == b"0":
            return keys
    raise AssertionError("SCAN does not end")


# --- shards


class Shards:
    def __init__(self, directory: Path) -> None:
        self.servers = [Server().start() for _ in range(3)]
        named = ", ".join(
            f"{{address: {each.address}, name: s{at}, weight: {at + 1}}}" for at, each in enumerate(self.servers)
        )
        self.mesh = mesh_of(
            directory,
            shards=f"{{endpoints: [{named}], redis: {{topology: sharded, shards: {{hash: md5}}}}}}",
            maglev=f"{{endpoints: [{named}], redis: {{topology: sharded, shards: {{distribution: maglev, hash: xxh64}}}}}}",
            modulo=f"{{endpoints: [{named}], redis: {{topology: sharded, shards: {{distribution: modulo, hash: crc32a}}}}}}",
        )

    def stop(self) -> None:
        self.mesh.stop()
        for each in self.servers:
            each.stop()


@pytest.fixture(scope="module")
def shards(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shards]:
    made = Shards(tmp_path_factory.mktemp("shards"))
    yield made
    made.stop()


@pytest.fixture
def sharded(shards: Shards) -> Iterator[Conversation]:
    for each in shards.servers:
        each("FLUSHALL")
    with Conversation(shards.mesh.ports["shards"]) as link:
        yield link


def test_keys_are_where_twemproxy_would_look_for_them(shards: Shards, sharded: Conversation) -> None:
    ring = Ketama(range(3), ["s0", "s1", "s2"], (1, 2, 3))
    keys = [f"user:{each}".encode() for each in range(300)]
    for each in keys:
        assert sharded("SET", each, "x") == b"OK"
    for at, server in enumerate(shards.servers):
        assert set(server("KEYS", "*")) == {each for each in keys if ring.pick(KEY_HASHES["md5"](each)) == at}


@pytest.mark.parametrize("name", ["maglev", "modulo"])
def test_other_ways_to_place_keys(shards: Shards, sharded: Conversation, name: str) -> None:
    with Conversation(shards.mesh.ports[name]) as link:
        for each in range(120):
            link("SET", f"k{each}", each)
        assert [link("GET", f"k{each}") for each in range(120)] == [b"%d" % each for each in range(120)]
    sizes = [each("DBSIZE") for each in shards.servers]
    assert sum(sizes) == 120
    assert sizes[0] < sizes[1] < sizes[2]


def test_commands_of_many_keys_are_split_and_their_replies_merged(sharded: Conversation) -> None:
    keys = [f"k{each}" for each in range(50)]
    assert sharded("MSET", *[word for each in keys for word in (each, each.upper())]) == b"OK"
    assert sharded("MGET", *keys, "none", "k0") == [each.upper().encode() for each in keys] + [None, b"K0"]
    assert sharded("EXISTS", *keys, "none", "k0") == 51
    assert sharded("TOUCH", *keys) == 50
    assert sharded("DEL", *keys[:20], "none") == 20
    assert sharded("UNLINK", *keys) == 30
    with pytest.raises(Refused, match="wrong number of arguments for 'mset' command"):
        sharded("MSET", "a", "1", "b")


def test_a_wrong_type_is_told_in_its_place_as_a_server_does(sharded: Conversation) -> None:
    sharded("LPUSH", "list", "x")
    sharded("SET", "a", "1")
    assert sharded("MGET", "a", "list", "b") == [b"1", None, None]


def test_keys_that_are_not_together_are_refused(sharded: Conversation) -> None:
    keys = [f"k{each}" for each in range(10)]
    with pytest.raises(Refused, match=r"^CROSSSLOT Keys in request don't hash to the same slot"):
        sharded("SUNION", *keys)
    sharded("SADD", "{a}1", "x")
    sharded("SADD", "{a}2", "y")
    assert sorted(sharded("SUNION", "{a}1", "{a}2")) == [b"x", b"y"]
    assert sharded("RENAME", "{a}1", "{a}3") == b"OK"
    assert sharded("EVAL", "return redis.call('SCARD', KEYS[1]) + #ARGV", 2, "{a}3", "{a}2", "z") == 2
    with pytest.raises(Refused, match=r"^CROSSSLOT"):
        sharded("EVAL", "return 1", 10, *keys)
    assert sharded("EVAL", "return 7", 0) == 7


def test_what_concerns_all_is_gathered(shards: Shards, sharded: Conversation) -> None:
    for each in range(90):
        sharded("SET", f"k{each}", "x")
    assert sharded("DBSIZE") == 90
    assert sorted(sharded("KEYS", "k1*")) == sorted(b"k%d" % each for each in range(90) if str(each)[0] == "1")
    assert sorted(scanned(sharded, "COUNT", 7)) == sorted(b"k%d" % each for each in range(90))
    assert scanned(sharded, "MATCH", "k77") == [b"k77"]
    assert sharded("RANDOMKEY")[:1] == b"k"
    digest = sharded("SCRIPT", "LOAD", "return 5")
    assert sharded("SCRIPT", "EXISTS", digest, "0" * 40) == [1, 0]
    assert [sharded("EVALSHA", digest, 1, f"k{each}") for each in range(12)] == [5] * 12
    info = sharded("INFO", "keyspace").decode()
    assert "db0:keys=90," in info
    assert "mesh_servers:3" in info
    assert sharded("FLUSHALL") == b"OK"
    assert [each("DBSIZE") for each in shards.servers] == [0, 0, 0]
    with pytest.raises(Refused, match="invalid cursor"):
        sharded("SCAN", "-7")


def test_pipelined_replies_come_in_order(sharded: Conversation) -> None:
    with_values = [f"k{each}" for each in range(400)]
    sharded._client.send(b"".join(packed("SET", each, f"v{each}") for each in with_values))
    assert [sharded.read() for _ in with_values] == [b"OK"] * 400
    sharded._client.send(b"".join(packed("GET", each) + packed("PING") for each in with_values))
    for each in with_values:
        assert sharded.read() == f"v{each}".encode()
        assert sharded.read() == b"PONG"


def test_large_values_between_others(sharded: Conversation) -> None:
    large = "x" * 700_000
    for each in range(4):
        sharded("SET", f"big{each}", f"{large}{each}")
    keys = ["small", *(f"big{each}" for each in range(4)), "small"]
    sharded("SET", "small", "s")
    assert sharded("MGET", *keys) == [b"s", *(f"{large}{each}".encode() for each in range(4)), b"s"]
    sharded._client.send(b"".join(packed("GET", each) for each in keys))
    assert [sharded.read() for _ in keys] == [b"s", *(f"{large}{each}".encode() for each in range(4)), b"s"]


def test_a_shard_that_is_away_fails_alone(tmp_path: Path) -> None:
    servers = [Server().start() for _ in range(2)]
    mesh = mesh_of(
        tmp_path,
        shards=f"{{endpoints: {addresses(servers)}, redis: {{topology: sharded, shards: {{hash: md5}}}}}}",
        cache=f"{{endpoints: {addresses(servers)}, health_check: {{redis: {{key: out}}, interval: 100ms, unhealthy: 1}}, "
        "panic_threshold: 0, redis: {topology: sharded, shards: {hash: md5, eject: true}}}",
    )
    try:
        with Conversation(mesh.ports["shards"]) as link, Conversation(mesh.ports["cache"]) as cache:
            keys = [f"k{each}" for each in range(20)]
            for each in keys:
                link("SET", each, each)
            away = [each.encode() for each in keys if servers[1]("EXISTS", each)]
            assert 0 < len(away) < 20
            servers[1].kill()
            link._client.send(b"".join(packed("GET", each) for each in keys))
            for each in keys:
                reply = link.read()
                if each.encode() in away:
                    assert isinstance(reply, Refused)
                    assert str(reply).startswith("MESHFAILURE upstream failure")
                else:
                    assert reply == each.encode()
            values = link("MGET", *keys)
            assert [isinstance(value, Refused) for value in values] == [each.encode() in away for each in keys]
            with pytest.raises(Refused, match=r"finished with 1 error|MESHFAILURE"):
                link("DEL", *keys)
            with pytest.raises(Refused, match="MESHFAILURE"):
                link("DBSIZE")
            until(
                lambda: mesh.metric("twisted_mesh_cluster_endpoints_healthy", cluster="cache") == 1,
                "the dead one is out",
            )
            for each in keys:
                assert cache("SET", each, "again") == b"OK"
            servers[1].start()
            until(lambda: mesh.metric("twisted_mesh_cluster_endpoints_healthy", cluster="cache") == 2, "it is back")
            until(lambda: link("DBSIZE") > 0, "it is used again")
            servers[1]("SET", "out", "for maintenance")
            until(
                lambda: mesh.metric("twisted_mesh_cluster_endpoints_healthy", cluster="cache") == 1,
                "a key takes it out",
            )
            assert b"maintenance: EXISTS out answered 1" in mesh.get("/clusters").body
            servers[1]("DEL", "out")
            until(lambda: mesh.metric("twisted_mesh_cluster_endpoints_healthy", cluster="cache") == 2, "and back in")
    finally:
        mesh.stop()
        for server in servers:
            server.stop()


def test_shards_that_are_killed_paused_and_restarted(tmp_path: Path) -> None:
    """Every command gets one reply, its own and in its turn; what is well is not touched by what is not."""
    servers = [Server().start() for _ in range(3)]
    mesh = mesh_of(
        tmp_path,
        shards=f"{{endpoints: {addresses(servers)}, redis: {{topology: sharded, silence: 300ms, shards: {{hash: md5}}}}}}",
    )
    try:
        with Load(mesh.ports["shards"], 4, 6, Owner) as load:
            for at, server in enumerate(servers):
                seen = load.replies
                until(lambda seen=seen: load.replies > seen + 500, "load")  # type: ignore[misc]
                if at == 1:
                    server.pause()
                    until(lambda: load.errors.get("MESHTIMEOUT", 0) > 0, "a server that hangs")
                    server.resume()
                else:
                    server.kill()
                    until(lambda: load.errors.get("MESHFAILURE", 0) > 0, "a server that is away")
                    server.start()
            errors = sum(load.errors.values())
            until(lambda: _calm(load), "no more errors")
        assert load.wrong == []
        assert errors < load.replies
    finally:
        for server in servers:
            server.resume()
            server.stop()
        mesh.stop()


def _calm(load: Load) -> bool:
    """Whether many commands in a row go well."""
    replies, errors = load.replies, load.errors
    until(lambda: load.replies > replies + 500)
    return load.errors == errors


# --- a primary and replicas


class Replicas:
    """A primary, two replicas and Sentinels; listeners by policy for reads, and one that asks the Sentinels."""

    def __init__(self, directory: Path) -> None:
        self.watched = Watched(replicas=2, password="secret")
        primary, near, far = self.watched.servers
        endpoints = f"[{{address: {far.address}, zone: b}}, {{address: {near.address}, zone: a}}, {primary.address}]"
        sentinels = f"[{', '.join(each.address for each in self.watched.sentinels)}]"

        def replicated(read: str) -> str:
            return (
                f"{{endpoints: {endpoints}, redis: "
                f"{{topology: replicated, read: {read}, refresh: 1s, password: secret}}}}"
            )

        self.mesh = mesh_of(
            directory,
            primary=replicated("primary"),
            replica=replicated("replica"),
            prefer_replica=replicated("prefer_replica"),
            any=replicated("any"),
            pinned=replicated("replica, read_your_writes: 60s"),
            sentinel=f"{{redis: {{topology: sentinel, refresh: 500ms, password: secret, read: prefer_replica, "
            f"sentinel: {{name: main, addresses: {sentinels}}}}}}}",
        )

    def stop(self) -> None:
        self.mesh.stop()
        self.watched.stop()


@pytest.fixture(scope="module")
def replicas(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Replicas]:
    made = Replicas(tmp_path_factory.mktemp("replicas"))
    yield made
    made.stop()


def gets(server: Server) -> int:
    """How many GETs a server has answered."""
    stats = server("INFO", "commandstats").decode()
    found = [line for line in stats.splitlines() if line.startswith("cmdstat_get:")]
    return int(found[0].partition("calls=")[2].partition(",")[0]) if found else 0


@pytest.mark.parametrize(
    ("name", "who"), [("primary", [0]), ("replica", [1, 2]), ("prefer_replica", [1, 2]), ("any", [0, 1, 2])]
)
def test_reads_go_by_policy_and_writes_to_the_primary(replicas: Replicas, name: str, who: list[int]) -> None:
    servers = replicas.watched.servers
    with Conversation(replicas.mesh.ports[name]) as link:
        assert link("SET", name, "x") == b"OK"
        before = [gets(each) for each in servers]
        for _ in range(60):
            assert link("GET", name) in (b"x", None)
        counts = [gets(each) - count for each, count in zip(servers, before)]
        assert sum(counts) == 60
        assert [at for at, count in enumerate(counts) if count] == who
        assert link("RENAME", name, f"{name}2") == b"OK"
        assert link("ROLE")[0] == b"master" if name == "primary" else True


def test_who_has_written_reads_at_the_primary(replicas: Replicas) -> None:
    servers = replicas.watched.servers
    port = replicas.mesh.ports["pinned"]
    with Conversation(port) as link, Conversation(port) as other:
        before = [gets(each) for each in servers]
        link("GET", "pinned")
        for number in range(20):
            assert link("SET", "pinned", number) == b"OK"
            assert link("GET", "pinned") == b"%d" % number
            other("GET", "pinned")
        counts = [gets(each) - count for each, count in zip(servers, before)]
        assert (counts[0], sum(counts)) == (20, 41)


@pytest.mark.parametrize(
    "lines",
    [
        ["MULTI", "SET pinned 1", "EXEC"],
        ["WATCH pinned", "MULTI", "SET pinned 1", "EXEC"],
        ["RPUSH pinned:list 1 2", "BLPOP pinned:list 1"],
        ["CLIENT TRACKING ON", "SET pinned 1", "CLIENT TRACKING OFF"],
    ],
    ids=" ".join,
)
def test_what_was_written_on_a_connection_of_its_own_is_read_at_the_primary(
    replicas: Replicas, lines: list[str]
) -> None:
    primary, port = replicas.watched.servers[0], replicas.mesh.ports["pinned"]
    with Conversation(port) as link:
        if lines[0].startswith("RPUSH"):
            # The list is there before; what counts here is the one that waits.
            with Conversation(port) as other:
                other(*lines[0].split())
        for line in lines[lines[0].startswith("RPUSH") :]:
            link(*line.split())
        before = gets(primary)
        for _ in range(5):
            link("GET", "pinned")
        assert gets(primary) - before == 5


def test_wait_waits_for_what_was_written_over_connections_that_are_shared(replicas: Replicas) -> None:
    """And nobody else waits with it."""
    servers = replicas.watched.servers
    with Conversation(replicas.mesh.ports["primary"]) as link, Conversation(replicas.mesh.ports["primary"]) as other:
        link("SET", "waited", "1")
        until(lambda: link("WAIT", 2, 100) == 2, "both replicas have it")
        servers[1].pause()
        try:
            link._client.send(packed("SET", "waited", "2") + packed("WAIT", "2", "5000") + packed("GET", "waited"))
            assert link.read() == b"OK"
            assert other("GET", "waited") == b"2"
            servers[1].resume()
            assert link.read() == 2
            assert link.read() == b"2"
            servers[1].pause()
            link("SET", "waited", "3")
            assert link("WAIT", 2, 50) < 2
        finally:
            servers[1].resume()


def test_a_failover_is_followed(replicas: Replicas) -> None:
    """The primary dies and the Sentinels choose another; when it is back it is not taken for the primary again."""
    watched, ports = replicas.watched, replicas.mesh.ports
    old = watched.servers[0]
    with Conversation(ports["sentinel"]) as link, Load(ports["sentinel"], 2, 3, Owner) as load:
        assert link("SET", "before", "1") == b"OK"
        until(lambda: load.replies > 200, "load")
        old.kill()
        until(lambda: _works(link), "another primary")
        seen = load.replies
        until(lambda: load.replies > seen + 200, "load goes on")
    assert load.wrong == []
    with Conversation(ports["primary"]) as link:
        until(lambda: _works(link), "the new primary by ROLE")
    old.start()
    # It calls itself a primary until a Sentinel has told it otherwise; the sidecar looks who is who meanwhile.
    looks, turn = _looks(replicas.mesh), 0
    with Conversation(ports["sentinel"]) as link:
        while _looks(replicas.mesh) < looks + 4:
            turn += 1
            until(lambda turn=turn: _reached(watched, link, turn), "a write reaches whom the Sentinels name")  # type: ignore[misc]
            assert old("GET", "turn") is None or old("ROLE")[0] == b"slave"
            assert turn < 10_000


def _looks(mesh: Mesh) -> float:
    return mesh.metric("twisted_mesh_cluster_redis_asked_total", cluster="sentinel")


def _reached(watched: Watched, link: Conversation, turn: int) -> bool:
    assert link("SET", "turn", turn) == b"OK"
    port = int(watched.sentinels[0]("SENTINEL", "GET-MASTER-ADDR-BY-NAME", "main")[1])
    return any(each.port == port and each("GET", "turn") == b"%d" % turn for each in watched.servers)


def _works(link: Conversation) -> bool:
    try:
        return bool(link("SET", "after", "1") == b"OK")
    except Refused:
        return False


# --- Redis Cluster


@pytest.fixture(scope="module")
def six(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Cluster, Mesh]]:
    cluster = Cluster(replicas=True)
    seed = cluster.masters[0].address
    mesh = mesh_of(
        tmp_path_factory.mktemp("six"),
        cluster=f"{{endpoints: [{seed}], redis: {{topology: cluster, refresh: 1s}}}}",
        replica=f"{{endpoints: [{seed}], redis: {{topology: cluster, refresh: 1s, read: prefer_replica}}}}",
    )
    yield cluster, mesh
    mesh.stop()
    cluster.stop()


def test_a_cluster_looks_like_one_server(six: tuple[Cluster, Mesh]) -> None:
    cluster, mesh = six
    with Conversation(mesh.ports["cluster"]) as link:
        link("FLUSHALL")
        keys = [f"k{each}" for each in range(60)]
        assert link("MSET", *[word for each in keys for word in (each, each.upper())]) == b"OK"
        assert all(each("DBSIZE") > 5 for each in cluster.masters)
        assert link("MGET", *keys, "none") == [each.upper().encode() for each in keys] + [None]
        assert link("DBSIZE") == 60
        assert sorted(scanned(link, "COUNT", 5)) == sorted(each.encode() for each in keys)
        with pytest.raises(Refused, match=r"^CROSSSLOT"):
            link("MSETNX", "a", 1, "b", 2)
        assert link("MSETNX", "{a}1", 1, "{a}2", 2) == 1
        assert link("DEL", *keys) == 60


def test_replicas_answer_reads(six: tuple[Cluster, Mesh]) -> None:
    cluster, mesh = six
    with Conversation(mesh.ports["replica"]) as link:
        for each in range(30):
            link("SET", f"r{each}", each)
        until(lambda: mesh.metric("twisted_mesh_cluster_endpoints", cluster="replica") == 6, "the replicas are known")
        until(lambda: _replica_reads(cluster, link) == 30, "replicas answer")


def _replica_reads(cluster: Cluster, link: Conversation) -> int:
    before = sum(map(gets, cluster.replicas))
    for each in range(30):
        link("GET", f"r{each}")
    return sum(map(gets, cluster.replicas)) - before


def test_messages_of_a_channel_stay_in_order(six: tuple[Cluster, Mesh]) -> None:
    cluster, mesh = six
    with RawClient(cluster.masters[0].port) as listener, RawClient(mesh.ports["cluster"]) as speaker:
        listener.send(b"SUBSCRIBE news\r\n")
        listener.read_until(b":1\r\n")
        messages = [b"%03d" % number for number in range(100)]
        for each in messages:
            speaker.send(b"PUBLISH news %b\r\n" % each)
            speaker.read_until(b"\r\n")
        told = b"*3\r\n$7\r\nmessage\r\n$4\r\nnews\r\n$3\r\n%b\r\n"
        expected = b"".join(told % each for each in messages)
        assert listener.read_exactly(len(expected)) == expected


def test_slots_move_under_load_and_nothing_is_lost(six: tuple[Cluster, Mesh]) -> None:
    """Not an error, nothing twice, nothing out of order: MOVED, ASK and TRYAGAIN stay between the sidecar and servers."""
    cluster, mesh = six
    with Load(mesh.ports["cluster"], 3, 4) as load:
        until(lambda: load.replies > 300, "load")
        for _ in range(2):
            for writer in load.writers:
                for key in writer.keys:
                    cluster.reshard(key, cluster.masters[(cluster.masters.index(cluster.holder(key)) + 1) % 3])
        seen = load.replies
        until(lambda: load.replies > seen + 300, "load goes on")
    assert load.wrong == []
    assert load.errors == {}


def test_a_reload_disturbs_nobody(six: tuple[Cluster, Mesh]) -> None:
    """The new cluster goes on with the nodes that the old one was told of, and with the connections to them."""
    cluster, mesh = six
    text = mesh.config.read_text()
    with Load(mesh.ports["cluster"], 3, 4, breath=0.01) as load:
        for turn in range(3):
            version = mesh.metric("twisted_mesh_config_version")
            mesh.config.write_text(text.replace("refresh: 1s", f"refresh: {turn + 2}s"))
            mesh.signal(signal.SIGHUP)
            until(lambda version=version: mesh.metric("twisted_mesh_config_version") > version, "a reload")  # type: ignore[misc]
            seen = load.replies
            until(lambda seen=seen: load.replies > seen + 200, "load goes on")  # type: ignore[misc]
    assert load.wrong == []
    assert load.errors == {}
    shown = mesh.get("/clusters").text
    for master in cluster.masters:
        assert f"redis cluster: primary {master.address}" in shown


def test_a_master_that_is_killed_is_replaced(six: tuple[Cluster, Mesh]) -> None:
    """Commands of its slots fail until its replica has taken over; every one gets one reply, its own."""
    cluster, mesh = six
    with Load(mesh.ports["cluster"], 3, 6, Owner) as load, Conversation(mesh.ports["cluster"]) as link:
        until(lambda: load.replies > 300, "load")
        cluster.masters[2].kill()
        keys = [key for writer in load.writers for key in writer.keys]
        until(lambda: all(_set(link, key) for key in keys), "its slots are served again")
        seen = load.replies
        until(lambda: load.replies > seen + 300, "load goes on")
    assert load.wrong == []


def _set(link: Conversation, key: str) -> bool:
    try:
        return bool(link("SET", key, f"{key}=") == b"OK")
    except Refused:
        return False
