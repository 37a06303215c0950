"""The adapter and the forward back to back, in whatever order things happen: nothing is mixed up, nothing is left.

Hypothesis writes the conversations: what the client sends and when it pauses or goes, what the server says and when it
closes, how time passes.  Each request has a number, which its answer repeats, so that a mix-up shows.
"""

from __future__ import annotations

import re
from typing import Any, Callable

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.adapters.http_client import Client
from tests.codec.peer import hear_responses
from tests.upstream.fakes import cluster_config
from tests.upstream.server import Link, Server
from twisted_mesh.call import Call
from twisted_mesh.upstream.cluster import Cluster
from twisted_mesh.upstream.http_forward import HttpForward

NUMBER = re.compile(rb"/([0-9]+) HTTP/1.1\r\n")
CHUNKED = b"HTTP/1.1 200 OK\r\nX-N: #\r\nTransfer-Encoding: chunked\r\n\r\n"
CHUNK = b"4\r\nbody\r\n"


class Conversation:
    """A client, the mesh, and a server; each method is one thing that may happen."""

    def __init__(self, half_close: bool, max_connections: int) -> None:
        self.client = Client(self._chain, {"timeouts": {"stream_idle": "40s"}}, half_close)
        env: Any = self.client.env
        self.server = Server(env.clock)
        connector: Any = self.server
        pool = {"max_connections": max_connections, "max_pending": 2}
        self.cluster = Cluster("api", cluster_config("10.0.0.1:80", pool=pool), env, connector)
        self.forward = HttpForward(self.cluster, connector, env)
        self.calls: list[Call] = []
        self.completed: list[Call] = []
        self.asked = 0
        self.owed = b""
        self.answered: dict[Link, int] = {}
        self.within: dict[Link, str] = {}

    def _chain(self, call: Call) -> Any:
        self.calls.append(call)
        call.timeout = 5.0
        call.on_complete(self.completed.append)
        return self.forward(call)

    # --- the client

    def _ask(self, data: bytes, owed: bytes = b"") -> None:
        if self.owed:
            self.more()
        if self.client.transport.reading:
            self.client.send(data)
            self.owed = owed

    def _next(self) -> int:
        self.asked += 1
        return self.asked

    def get(self) -> None:
        self._ask(b"GET /%d HTTP/1.1\r\nHost: a\r\n\r\n" % self._next())

    def head(self) -> None:
        self._ask(b"HEAD /%d HTTP/1.1\r\nHost: a\r\n\r\n" % self._next())

    def old(self) -> None:
        self._ask(b"GET /%d HTTP/1.0\r\n\r\n" % self._next())

    def last(self) -> None:
        self._ask(b"GET /%d HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n" % self._next())

    def pipelined(self) -> None:
        self._ask(b"".join(b"GET /%d HTTP/1.1\r\nHost: a\r\n\r\n" % self._next() for _ in range(3)))

    def part_of_a_head(self) -> None:
        self._ask(b"GET /%d HT" % self._next(), b"TP/1.1\r\nHost: a\r\n\r\n")

    def post(self) -> None:
        self._ask(b"POST /%d HTTP/1.1\r\nHost: a\r\nContent-Length: 6\r\n\r\nfoobar" % self._next())

    def part_of_a_post(self) -> None:
        self._ask(b"POST /%d HTTP/1.1\r\nHost: a\r\nContent-Length: 6\r\n\r\nfoo" % self._next(), b"bar")

    def large_post(self) -> None:
        head = b"PUT /%d HTTP/1.1\r\nHost: a\r\nContent-Length: 200000\r\n\r\n" % self._next()
        self._ask(head + b"x" * 100_000, b"x" * 100_000)

    def part_of_chunks(self) -> None:
        head = b"POST /%d HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n" % self._next()
        self._ask(head + b"3\r\nfo", b"o\r\n0\r\nT: t\r\n\r\n")

    def broken_chunks(self) -> None:
        head = b"POST /%d HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n" % self._next()
        self._ask(head, b"3\r\nfoobar")

    def upgrade(self) -> None:
        lines = b"Connection: upgrade\r\nUpgrade: websocket\r\n\r\n"
        self._ask(b"GET /%d HTTP/1.1\r\nHost: a\r\n" % self._next() + lines)

    def more(self) -> None:
        owed, self.owed = self.owed, b""
        if owed and self.client.transport.reading:
            self.client.send(owed)

    def rubbish(self) -> None:
        self._ask(b"rubbish\r\n\r\n")

    def half_close(self) -> None:
        if not self.client.gone and not self.client.transport.ended and self.client.transport.reading:
            self.client.half_close()

    def vanish(self) -> None:
        self.client.vanish()

    def stop_reading(self) -> None:
        transport = self.client.transport
        if not transport.full and transport.producer is not None and not transport.ended:
            transport.fill()

    def read_on(self) -> None:
        transport = self.client.transport
        if transport.full and transport.producer is not None and not transport.ended:
            transport.empty()

    # --- the server

    def _say(self, *pieces: bytes, within: str = "", then: str = "", done: bool = False) -> None:
        """Have the server go on with the oldest connection that waits for something.

        :param within: what it must be in the middle of; `then` is what it is in the middle of afterwards.
        """
        for link in self.server.links:
            if link.ended or not link.reading or not self._waits(link) or self.within.get(link, "") != within:
                continue
            number = b"<%d>" % self._current(link)
            for each in pieces:
                if link.reading and not link.ended:
                    link.say(each.replace(b"#", number))
            self.within[link] = then
            if done:
                self.answered[link] = self.answered.get(link, 0) + 1
            return

    def _waits(self, link: Link) -> bool:
        return len(NUMBER.findall(link.value())) > self.answered.get(link, 0)

    def _current(self, link: Link) -> int:
        return int(NUMBER.findall(link.value())[self.answered.get(link, 0)])

    def reply(self) -> None:
        self._say(b"HTTP/1.1 200 OK\r\nX-N: #\r\nContent-Length: 4\r\n\r\nbody", done=True)

    def interim(self) -> None:
        self._say(b"HTTP/1.1 103 Early Hints\r\nLink: a\r\n\r\n")

    def no_content(self) -> None:
        self._say(b"HTTP/1.1 204 No Content\r\nX-N: #\r\n\r\n", done=True)

    def chunks(self) -> None:
        self._say(CHUNKED, CHUNK, b"0\r\n\r\n", done=True)

    def part_of_a_reply(self) -> None:
        self._say(CHUNKED, CHUNK, then="chunks")

    def many_chunks(self) -> None:
        self._say(CHUNKED, *[b"8000\r\n" + b"body" * 8192 + b"\r\n"] * 6, then="chunks")

    def last_reply(self) -> None:
        self._say(b"HTTP/1.1 200 OK\r\nX-N: #\r\nConnection: close\r\nContent-Length: 4\r\n\r\nbody", done=True)

    def until_close(self) -> None:
        self._say(b"HTTP/1.0 200 OK\r\nX-N: #\r\n\r\nbody", then="until close")

    def switch(self) -> None:
        self._say(b"HTTP/1.1 101 S\r\nX-N: #\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\nhello", then="tunnel")

    def in_the_tunnel(self) -> None:
        self._say(b"hello", within="tunnel", then="tunnel")

    def chunk(self) -> None:
        self._say(CHUNK, within="chunks", then="chunks")

    def last_chunk(self) -> None:
        self._say(b"0\r\n\r\n", within="chunks", done=True)

    def broken_chunk(self) -> None:
        self._say(b"zz\r\n", within="chunks")

    def nonsense(self) -> None:
        self._say(b"\x00nonsense\r\n", then="nonsense")

    def surplus(self) -> None:
        self._say(b"HTTP/1.1 200 OK\r\nX-N: #\r\nContent-Length: 4\r\n\r\nbodyHTTP/1.1 200 Smuggled\r\n", done=True)

    def _with_link(self, then: Callable[[Link], None]) -> None:
        for link in self.server.links:
            if not link.lost and link.ended in ("", "half closed") and link.reading:
                then(link)
                return

    def server_closes(self) -> None:
        self._with_link(Link.close)

    def server_resets(self) -> None:
        self._with_link(Link.reset)

    def server_is_full(self) -> None:
        for link in self.server.links:
            if not link.full and not link.ended:
                link.full = True
                if link.producer is not None:
                    link.producer.pauseProducing()
                return

    def server_takes_all(self) -> None:
        for link in self.server.links:
            if link.full:
                link.full = False
                if link.producer is not None and not link.ended:
                    link.producer.resumeProducing()

    def server_is_away(self) -> None:
        self.server.answer = "refuse"

    def server_is_slow(self) -> None:
        self.server.answer = "wait"

    def server_is_back(self) -> None:
        self.server.answer = "accept"
        self.server.let()

    # --- the rest

    def a_moment(self) -> None:
        self.client.pass_time(0.05)

    def seconds(self) -> None:
        self.client.pass_time(6.0)

    def a_minute(self) -> None:
        self.client.env.clock.pump([0.5] * 120)

    def drain(self) -> None:
        self.client.adapter.drain()

    # --- the end

    def check_over(self) -> None:
        self.client.vanish()
        self.server_is_back()
        self.client.env.clock.pump([0.5] * 20)
        for link in self.server.links:
            link.reset()
        self.client.env.clock.pump([0.1] * 10)
        endpoint = self.cluster.endpoints[0]
        pool: Any = endpoint.pools.get("http")
        assert endpoint.active == 0
        assert pool is None or (pool.open, list(pool.idle), list(pool.waiting)) == (0, [], [])
        assert sorted(map(id, self.completed)) == sorted(map(id, self.calls))
        self.forward.stop()
        self.client.check_over()
        assert [each for each in self.client.env.logged if "bytes behind" not in each] == []
        self.check_order()

    def check_order(self) -> None:
        """What the client heard are answers, each to its own request, in the order of the requests."""
        heard = self.client.heard
        numbers = [int(each) for each in re.findall(rb"X-N: <([0-9]+)>", heard)]
        assert numbers == sorted(set(numbers)), heard
        assert all(number <= self.asked for number in numbers)
        assert b"Smuggled" not in heard
        if b"101 S\r\n" in heard or any(each.operation == "HEAD" for each in self.calls):
            # Neither can be read without knowing what was asked.
            return
        spoken = hear_responses(heard)
        assert not spoken.error, heard
        for message in spoken.messages:
            assert message.status >= 400 or message.body.replace(b"body", b"") == b"", heard


STEPS = [name for name in vars(Conversation) if not name.startswith(("_", "check"))]
# Most of the time something sensible happens.
LIKELY = [
    "get",
    "post",
    "part_of_a_post",
    "large_post",
    "more",
    "reply",
    "chunks",
    "part_of_a_reply",
    "last_chunk",
    "a_moment",
]


@settings(max_examples=4 * settings().max_examples)
@given(
    st.lists(st.one_of(st.sampled_from(LIKELY), st.sampled_from(STEPS)), max_size=25),
    st.booleans(),
    st.sampled_from([1, 1, 1024]),
)
def test_whatever_happens(steps: list[str], half_close: bool, max_connections: int) -> None:
    conversation = Conversation(half_close, max_connections)
    for each in steps:
        getattr(conversation, each)()
    conversation.check_over()
