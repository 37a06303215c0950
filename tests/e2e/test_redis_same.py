"""The reply through a sidecar is the reply of a server, byte by byte, for every command that a proxy can pass on."""

from __future__ import annotations

from typing import Iterable, Iterator, Union

import hiredis
import pytest

from tests.e2e.redis_script import DATABASES, HEARD, SCRIPT, WHOLE
from tests.e2e.test_redis_topologies import addresses, mesh_of
from tests.redis_groups import Cluster
from tests.servers import Server, binaries, binary
from tests.support import Mesh, RawClient
from twisted_mesh.codec.command_kinds import Kind
from twisted_mesh.codec.commands import COMMANDS, MORE, find
from twisted_mesh.codec.resp_reply import ReplyReader

# The last is before a server of another make, if there is one.
LISTENERS = ["single", "sharded", "cluster", "tenants", "other"]
OTHER = [each for each in binaries() if each != binary()]
# How a reply begins that says little: an error, nothing, none.
_EMPTY = (b"-", b"$-1", b"*-1", b"_", b"*0", b"%0", b"~0", b"$0", b":0")


class Talk:
    """A client that keeps replies as they came."""

    def __init__(self, port: int, resp: int = 2) -> None:
        self._client = RawClient(port)
        self._reader = ReplyReader()
        self._waiting: list[bytes] = []
        # What was dumped last.
        self._dump = b""
        if resp == 3:
            self("HELLO", "3")

    def __call__(self, *words: str) -> bytes:
        meant: list[Union[str, bytes]] = [self._dump if each == "$DUMP" else each for each in words]
        self._client.send(hiredis.pack_command(tuple(meant)))
        reply = self.read()
        if "DUMP" in words[:2]:
            self._dump = reply.partition(b"\r\n")[2][:-2]
        return reply

    def read(self) -> bytes:
        """Return the next reply or message."""
        while not self._waiting:
            found = self._reader.feed(self._client.sock.recv(65536))
            self._waiting += [self._reader.data[start:end] for _, start, end in found]
        return self._waiting.pop(0)

    def close(self) -> None:
        self._client.close()


@pytest.fixture(scope="module")
def mesh(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mesh]:
    shards = [Server().start() for _ in range(3)]
    alone, shared, other = Server().start(), Server().start(), Server(command=OTHER[0] if OTHER else None).start()
    cluster = Cluster()
    running = mesh_of(
        tmp_path_factory.mktemp("same"),
        single=f"{{endpoints: [{alone.address}]}}",
        sharded=f"{{endpoints: {addresses(shards)}, redis: {{topology: sharded, shards: {{hash: md5}}}}}}",
        cluster=f"{{endpoints: [{cluster.masters[0].address}], redis: {{topology: cluster}}}}",
        tenants=f"{{endpoints: [{shared.address}]}}",
        other=f"{{endpoints: [{other.address}]}}",
        filters={"tenants": "[{key_prefix: {prefix: 'tenant:'}}]"},
    )
    yield running
    running.stop()
    cluster.stop()
    for each in [*shards, alone, shared, other]:
        each.stop()


@pytest.fixture
def server() -> Iterator[Server]:
    one = Server().start()
    yield one
    one.stop()


def differences(direct: Talk, through: Talk, script: Iterable[list[str]]) -> list[tuple[str, bytes, bytes]]:
    """(command, what a server says, what comes through the sidecar), where these are not the same.

    What a server does not know yet is not looked at.
    """
    both = [(" ".join(words), direct(*words), through(*words)) for words in script]
    return [each for each in both if each[1] != each[2] and not each[1].startswith(b"-ERR unknown ")]


@pytest.mark.parametrize("resp", [2, 3])
@pytest.mark.parametrize("name", LISTENERS)
def test_replies_are_those_of_a_server(mesh: Mesh, name: str, resp: int) -> None:
    if name == "other" and not OTHER:
        pytest.skip("there is one kind of server only")
    server = Server(command=OTHER[0] if name == "other" else None).start()
    direct, through = Talk(server.port, resp), Talk(mesh.ports[name], resp)
    try:
        if name == "tenants":
            # Nothing else is left of what came before.
            assert through("DEL", *sorted({word for words in SCRIPT for word in words[1:]})).startswith(b":")
        else:
            through("FLUSHALL")
        assert differences(direct, through, SCRIPT) == []
        if name != "tenants":
            assert differences(direct, through, WHOLE) == []
        if name not in ("cluster", "tenants"):
            assert differences(direct, through, DATABASES) == []
    finally:
        direct.close()
        through.close()
        server.stop()


@pytest.mark.parametrize("name", LISTENERS[:3])
def test_what_others_listen_to(mesh: Mesh, server: Server, name: str) -> None:
    listeners = []
    for port in (server.port, mesh.ports[name]):
        for words in (("SUBSCRIBE", "news"), ("PSUBSCRIBE", "pat*"), ("SSUBSCRIBE", "shard")):
            listeners.append(Talk(port))
            assert listeners[-1](*words).endswith(b":1\r\n")
    direct, through = Talk(server.port), Talk(mesh.ports[name])
    try:
        # In a Redis Cluster nobody knows how many hear of it at other nodes.
        whole = [words for words in HEARD if not (name == "cluster" and words[0] == "PUBLISH")]
        assert differences(direct, through, whole) == []
        for words in HEARD if name == "cluster" else ():
            if words[0] == "PUBLISH":
                direct(*words)
                through(*words)
        heard = [each.read() for each in listeners]
        assert heard[:3] == heard[3:]
    finally:
        for each in [*listeners, direct, through]:
            each.close()


# What has no reply of which one can say that it is the same; other tests look at these.
_OTHERWISE = frozenset(
    [
        *("HELLO", "INFO", "LOLWUT", "MONITOR", "QUIT", "SCAN", "TIME", "ACL|CAT", "ACL|GENPASS"),
        *("CLIENT|CACHING", "CLIENT|ID", "CLIENT|INFO", "CLIENT|LIST", "CLIENT|TRACKING"),
        *("CLUSTER|HELP", "CLUSTER|KEYSLOT", "COMMAND|COUNT", "COMMAND|DOCS", "COMMAND|INFO"),
        *("LATENCY|DOCTOR", "LATENCY|HISTOGRAM", "MEMORY|DOCTOR", "MEMORY|MALLOC-STATS", "MEMORY|STATS"),
    ]
)
# What says nothing, none or an error in the conversation, rightly.
_SAY_LITTLE = frozenset(
    [
        *("AUTH", "WAIT", "OBJECT|FREQ", "OBJECT|IDLETIME", "XINFO|CONSUMERS", "CLIENT|KILL", "CLIENT|UNBLOCK"),
        *("CONFIG|REWRITE", "SCRIPT|KILL", "FUNCTION|KILL", "SLOWLOG|GET", "SLOWLOG|LEN"),
        *("COMMANDLOG|GET", "COMMANDLOG|LEN", "LATENCY|LATEST", "LATENCY|HISTORY", "LATENCY|GRAPH", "LATENCY|RESET"),
    ]
)


def test_every_command_is_among_them_and_has_something_to_say(server: Server) -> None:
    """A command that only ever meets a key of the wrong kind is not tested."""
    if b"\r\nvalkey_version:9.1." not in server("INFO", "server"):
        pytest.skip("the rows are those of Valkey 9.1")
    said: dict[str, list[bytes]] = {}
    others = [Talk(server.port) for _ in range(3)]
    direct = Talk(server.port)
    for words in [*SCRIPT, *WHOLE, *DATABASES]:
        row = find(words[0].encode(), words[1].encode() if words[1:] else None)
        said.setdefault(row.name if row else "", []).append(direct(*words))
    for other, listens in zip(others, (("SUBSCRIBE", "news"), ("PSUBSCRIBE", "pat*"), ("SSUBSCRIBE", "shard"))):
        other(*listens)
    for words in HEARD:
        row = find(words[0].encode(), words[1].encode() if words[1:] else None)
        said.setdefault(row.name if row else "", []).append(direct(*words))
    for each in [*others, direct]:
        each.close()
    rows = [*COMMANDS, *(inner for each in COMMANDS for inner in each.subcommands.values())]
    wanted = {each.name for each in rows if each.kind is not Kind.REFUSED and not each.subcommands} - MORE
    assert wanted - said.keys() == _OTHERWISE
    silent = {name for name, replies in said.items() if name and all(each.startswith(_EMPTY) for each in replies)}
    assert silent == _SAY_LITTLE
