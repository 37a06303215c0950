"""Copies of calls for another cluster."""

from __future__ import annotations

from typing import Any, Optional, Union

import pytest

from tests.filters.drive import FakeEnv, Run, Script, a_call
from twisted_mesh.call import Call, Reply
from twisted_mesh.chain import compose
from twisted_mesh.errors import Kind, MeshError
from twisted_mesh.filters.mirror import BODY_LIMIT, LOG_EVERY, Mirror
from twisted_mesh.filters.route import Route
from twisted_mesh.headers import Headers
from twisted_mesh.park import Parked
from twisted_mesh.stream import ByteStream


class Cluster:
    """What a mirror sends to: notes the copies, and answers with `reply`, or when it is told to."""

    def __init__(self, reply: Union[Reply, MeshError, None] = None) -> None:
        self.reply = reply
        self.calls: list[Call] = []
        self.bodies: list[object] = []
        self.waiting: list[Parked[Reply]] = []

    async def forward(self, call: Call) -> Reply:
        self.calls.append(call)
        self.bodies.append(call.body)
        if isinstance(self.reply, MeshError):
            raise self.reply
        if self.reply is not None:
            return self.reply
        self.waiting.append(Parked())
        return await self.waiting[-1]


class World:
    """A mirror in front of a real cluster."""

    def __init__(self, cluster: Cluster, real: Any = None, **settings: Any) -> None:
        self.env = FakeEnv()
        # A time of 0 is one that is not known.
        self.env.clock.advance(1.0)
        self.cluster = cluster
        self.mirror = Mirror("copy", cluster.forward, self.env, **settings)  # type: ignore[arg-type]
        self.proceed = compose([self.mirror], Script(Reply(200, body=b"real") if real is None else real))

    def run(self, call: Optional[Call] = None) -> tuple[Run, Call]:
        call = a_call() if call is None else call
        call.route = Route("r", self.proceed)
        return Run(self.proceed, call), call

    def count(self, what: str = "calls") -> dict[str, float]:
        """Return what was counted, by result."""
        family = self.mirror._calls if what == "calls" else self.mirror._compared
        for values, _ in family.series():
            assert values[:2] == ("r", "copy")
        return {values[2]: cell.value for values, cell in family.series()}


def test_a_copy_is_sent_and_its_answer_thrown_away() -> None:
    world = World(Cluster(Reply(500, body=b"copy")))
    call = a_call("POST", b"data", x_a="1")
    run, _ = world.run(call)
    assert (run.reply.status, run.reply.body) == (200, b"real")
    [copy] = world.cluster.calls
    assert copy is not call
    assert (copy.operation, copy.target, copy.host, copy.body) == ("POST", b"/api/x?y=1", "shop.example", b"data")
    assert copy.headers.get("x-a") == "1"
    assert copy.headers is not call.headers
    assert copy.completed
    assert world.count() == {"answered": 1}


def test_the_real_call_waits_for_nothing_of_it() -> None:
    world = World(Cluster())
    run, _ = world.run()
    assert run.reply.status == 200
    assert repr(world.mirror) == "<Mirror to copy, 1 under way>"
    world.cluster.waiting[0].fire(Reply(200))
    assert world.count() == {"answered": 1}
    world.env.clock.advance(1.0)
    assert world.env.clock.getDelayedCalls() == []


def test_a_failure_of_the_copy_is_nobodys() -> None:
    world = World(Cluster(MeshError(Kind.CONNECT_FAILED)), compare=True)
    assert world.run()[0].reply.status == 200
    assert world.count() == {"failed": 1}
    assert world.count("compared") == {}


def test_a_call_that_fails_is_copied_as_well() -> None:
    world = World(Cluster(Reply(200)), MeshError(Kind.CONNECT_FAILED), compare=True)
    assert world.run()[0].error.kind is Kind.CONNECT_FAILED
    assert world.count() == {"answered": 1}
    assert world.count("compared") == {}


def test_a_share_of_the_calls_is_copied() -> None:
    world = World(Cluster(Reply(200)), percent=20.0)
    for _ in range(500):
        world.run()
    assert 60 < len(world.cluster.calls) < 140


def test_a_copy_has_its_time() -> None:
    world = World(Cluster(), limit=2.0)
    world.run()
    world.env.clock.pump([0.025] * 82)
    assert world.count() == {"failed": 1}
    assert world.cluster.calls[0].completed
    world.env.clock.advance(1.0)
    assert world.env.clock.getDelayedCalls() == []


def test_so_has_its_body() -> None:
    stream = ByteStream()
    world = World(Cluster(Reply(200, body=stream)), limit=2.0, compare=True)
    world.run()
    stream.write(b"some")
    world.env.clock.pump([0.025] * 82)
    assert world.count() == {"failed": 1}
    assert stream.cancelled
    assert world.env.clock.getDelayedCalls() == []


def test_a_body_is_read_to_its_end() -> None:
    stream = ByteStream()
    world = World(Cluster(Reply(200, body=stream)))
    world.run()
    stream.write(b"some")
    assert world.count() == {}
    stream.end()
    assert world.count() == {"answered": 1}


def test_a_body_that_is_cut_is_a_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = ByteStream()
    world = World(Cluster(Reply(200, body=stream)))
    world.run()
    stream.fail(MeshError(Kind.RESET))
    assert world.count() == {"failed": 1}
    monkeypatch.setattr("twisted_mesh.filters.mirrored.MOST_READ", 3)
    stream = ByteStream()
    world.cluster.reply = Reply(200, body=stream)
    world.run()
    stream.write(b"long")
    assert stream.cancelled
    assert world.count() == {"failed": 1, "cut": 1}


def test_no_more_than_so_many_are_under_way() -> None:
    world = World(Cluster(), most=2)
    for _ in range(3):
        assert world.run()[0].reply.status == 200
    assert len(world.cluster.calls) == 2
    assert world.count() == {"skipped_busy": 1}
    for each in world.cluster.waiting:
        each.fire(Reply(200))
    world.run()
    assert len(world.cluster.calls) == 3


def test_a_short_body_that_is_still_on_its_way_is_waited_for() -> None:
    world = World(Cluster(Reply(200)))
    stream = ByteStream(length=4, replay=True)
    run, _ = world.run(a_call("POST", stream))
    assert run.result is None
    stream.write(b"data")
    stream.end()
    assert run.reply.status == 200
    assert world.cluster.bodies == [b"data"]
    # The real call has all of it still before it.
    assert stream.whole() == b"data"


@pytest.mark.parametrize("length", [None, BODY_LIMIT + 1])
def test_other_bodies_are_not_waited_for(length: Optional[int]) -> None:
    world = World(Cluster(Reply(200)))
    assert world.run(a_call("POST", ByteStream(length=length)))[0].reply.status == 200
    assert world.count() == {"skipped_body": 1}
    assert world.cluster.calls == []


def test_a_body_that_is_cut_on_its_way_is_the_real_calls_business() -> None:
    world = World(Cluster(Reply(200)))
    stream = ByteStream(length=4)
    run, _ = world.run(a_call("POST", stream))
    stream.fail(MeshError(Kind.CLIENT_GONE))
    assert run.reply.status == 200
    assert world.count() == {"skipped_body": 1}


def test_upgrades_are_not_copied() -> None:
    world = World(Cluster(Reply(200)))
    call = a_call()
    call.upgrade = "websocket"
    world.run(call)
    assert world.count() == {"skipped_upgrade": 1}


def real(status: int = 200, body: Any = b"real", etag: str = "a") -> Reply:
    return Reply(status, Headers.of([("etag", etag)]), body)


def test_answers_are_compared() -> None:
    world = World(Cluster(real()), real(), compare=True, headers=["etag"])
    world.run()
    assert world.count("compared") == {"same": 1}
    for other in (real(404), real(body=b"copy"), real(etag="b")):
        world.cluster.reply = other
        world.run()
    assert world.count("compared") == {"same": 1, "different": 3}


def test_one_difference_in_a_second_is_logged() -> None:
    world = World(Cluster(real(404, b"other")), real(), compare=True)
    call = a_call()
    call.id = "id-1"
    world.run(call)
    world.run()
    said = "warn the mirror copy answers id-1 (GET /api/x) in another way: status 200 and 404; bodies of 4 and 5 bytes"
    assert world.env.said == [said]
    world.env.clock.advance(LOG_EVERY)
    world.run()
    assert len(world.env.said) == 2


@pytest.mark.parametrize("first", ["real", "copy"])
def test_bodies_that_come_in_pieces_are_compared_when_both_are_whole(first: str) -> None:
    streams = {"real": ByteStream(), "copy": ByteStream()}
    world = World(Cluster(real(body=streams["copy"])), real(body=streams["real"]), compare=True)
    run, call = world.run()
    assert isinstance(run.reply.body, ByteStream)
    second = "copy" if first == "real" else "real"
    for name in (first, second):
        assert world.count("compared") == {}
        streams[name].write(b"re")
        streams[name].write(b"al")
        streams[name].end()
        if name == "real":
            call.complete(0.0, lambda completion: None)
    assert world.count("compared") == {"same": 1}


def test_a_real_answer_that_is_cut_is_not_compared() -> None:
    stream = ByteStream()
    world = World(Cluster(real()), real(body=stream), compare=True)
    _, call = world.run()
    stream.fail(MeshError(Kind.RESET))
    call.complete(0.0, lambda completion: None)
    assert world.count("compared") == {}
    assert world.count() == {"answered": 1}
