"""The reply through a sidecar is the reply of a server, byte by byte: for each command that has keys, and those for all."""

from __future__ import annotations

from typing import Iterator

import pytest

from tests.e2e.redis_load import packed
from tests.e2e.redis_script import SCRIPT
from tests.e2e.test_redis_topologies import addresses, mesh_of
from tests.redis_groups import Cluster
from tests.servers import Server
from tests.support import Mesh, RawClient
from twisted_mesh.codec.command_kinds import Kind
from twisted_mesh.codec.commands import COMMANDS, find
from twisted_mesh.codec.resp_reply import ReplyReader


class Talk:
    """A client that keeps replies as they came."""

    def __init__(self, port: int, resp: int) -> None:
        self._client = RawClient(port)
        self._reader = ReplyReader()
        if resp == 3:
            self("HELLO", "3")

    def __call__(self, *words: str) -> bytes:
        self._client.send(packed(*words))
        while True:
            found = self._reader.feed(self._client.sock.recv(65536))
            if found:
                return self._reader.data[found[0][1] : found[0][2]]

    def close(self) -> None:
        self._client.close()


@pytest.fixture(scope="module")
def mesh(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mesh]:
    shards = [Server().start() for _ in range(3)]
    alone = Server().start()
    cluster = Cluster()
    running = mesh_of(
        tmp_path_factory.mktemp("same"),
        single=f"{{endpoints: [{alone.address}]}}",
        sharded=f"{{endpoints: {addresses(shards)}, redis: {{topology: sharded, shards: {{hash: md5}}}}}}",
        cluster=f"{{endpoints: [{cluster.masters[0].address}], redis: {{topology: cluster}}}}",
    )
    yield running
    running.stop()
    cluster.stop()
    for each in [*shards, alone]:
        each.stop()


@pytest.mark.parametrize("resp", [2, 3])
@pytest.mark.parametrize("name", ["single", "sharded", "cluster"])
def test_replies_are_those_of_a_server(mesh: Mesh, name: str, resp: int) -> None:
    server = Server().start()
    direct, through = Talk(server.port, resp), Talk(mesh.ports[name], resp)
    try:
        through("FLUSHALL")
        through("SCRIPT", "FLUSH")
        differ = []
        for words in SCRIPT:
            expected, got = direct(*words), through(*words)
            if got != expected:
                differ.append((" ".join(words), expected, got))
        assert differ == []
    finally:
        direct.close()
        through.close()
        server.stop()


def test_every_command_with_a_key_is_among_them() -> None:
    named = {row.name for words in SCRIPT if (row := find(words[0].encode(), words[1].encode() if words[1:] else None))}
    rows = [*COMMANDS, *(inner for each in COMMANDS for inner in each.subcommands.values())]
    wanted = {each.name for each in rows if each.kind in (Kind.KEYED, Kind.SPLIT) and not each.subcommands}
    assert wanted - named == set()
