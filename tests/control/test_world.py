"""All that is live, and the sockets and listeners of a change.  The sockets are pretended."""

from __future__ import annotations

import errno
from typing import Any, Iterator, Optional

import pytest
from twisted.internet.task import Clock

from tests.control.test_env import make_env
from twisted_mesh import model
from twisted_mesh.call import Call, Reply
from twisted_mesh.chain import Driver
from twisted_mesh.control.change import Change
from twisted_mesh.control.found import find_filter
from twisted_mesh.control.world import World
from twisted_mesh.errors import ConfigError
from twisted_mesh.headers import Headers


class FakePort:
    """A port that notes what is done to it; opening one whose port number is 666 fails."""

    opened: list[str] = []

    def __init__(self, loop: Any, bind: model.Address, accepted: Any, **options: Any) -> None:
        self.bind = bind
        self.accepted = accepted
        self.options = options
        self.listening = False
        self.held = False
        self.adjusted: Any = None

    def adjust(self, backlog: int, mode: Optional[int] = None) -> None:
        self.adjusted = (backlog, mode)

    def hold(self) -> None:
        self.held = True

    def resume(self) -> None:
        self.held = False

    @property
    def address(self) -> str:
        return str(self.bind)

    def start(self) -> None:
        if self.bind.port == 666:
            raise OSError(errno.EADDRINUSE, f"cannot listen on {self.bind}: the address is in use")
        self.listening = True
        FakePort.opened.append(str(self.bind))

    def stop_accepting(self) -> None:
        self.listening = False


class FakeSock:
    closed = False

    def close(self) -> None:
        self.closed = True


class FakeAccepted:
    """A connection that was accepted."""

    peer, peer_host = "127.0.0.1:1", "127.0.0.1"

    def __init__(self) -> None:
        self.sock = FakeSock()
        self.adopted: Optional[Any] = None

    def adopt(self, protocol: Any) -> None:
        self.adopted = protocol
        protocol.makeConnection(FakeTransport(protocol))


class FakeTransport:
    def __init__(self, protocol: Any) -> None:
        self.protocol = protocol

    def registerProducer(self, producer: Any, streaming: bool) -> None:
        assert streaming

    def unregisterProducer(self) -> None:
        pass

    def loseConnection(self) -> None:
        self.protocol.connectionLost(None)

    abortConnection = loseConnection


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    monkeypatch.setattr("twisted_mesh.control.world.Port", FakePort)
    FakePort.opened = []
    clock = Clock()
    made = World(make_env(clock), None, find_filter)  # type: ignore[arg-type]
    yield made
    made.stop()
    clock.pump([1.0] * 3)
    assert clock.getDelayedCalls() == []


def clock_of(world: World) -> Clock:
    clock = world.env.clock
    assert isinstance(clock, Clock)
    return clock


def apply(world: World, listeners: dict[str, Any], **more: Any) -> None:
    full = {name: {"routes": [{"reply": {"body": name}}], **each} for name, each in listeners.items()}
    config = model.Config.model_validate({"access_log": None, "listeners": full, **more})
    change = Change(world, config)
    try:
        for _ in change.steps():
            pass
        change.commit()
    except ConfigError:
        change.give_up()
        raise


def answer(world: World, listener: str) -> bytes:
    """What the chain of a listener says."""
    said: list[Any] = []
    call = Call("http", listener, "GET", Headers())
    Driver(call, lambda call, reply, error: said.append(reply)).start(world.listeners[listener].adapter.chain)
    [reply] = said
    assert isinstance(reply, Reply)
    assert isinstance(reply.body, bytes)
    return reply.body


def only_port(world: World, listener: str) -> Any:
    [port] = world.listeners[listener].ports.values()
    return port


A = {"bind": "127.0.0.1:1"}
B = {"bind": "127.0.0.1:2"}


def test_a_panicking_cluster_says_why_it_is_not_ready(world: World) -> None:
    check = {"tcp": True, "interval": "1h"}
    waited = {"endpoints": ["127.0.0.1:9"], "require_ready": True, "health_check": check}
    apply(world, {"a": A}, clusters={"web": waited})
    assert world.ready() == (False, "cluster web: not checked yet")
    [endpoint] = world.clusters["web"].endpoints
    endpoint.checked, endpoint.healthy = True, False
    world.clusters["web"].refresh()
    assert world.ready() == (False, "cluster web: none of 1 endpoints is healthy, so all are used")


def test_an_empty_world_is_not_ready(world: World) -> None:
    assert world.ready() == (False, "no configuration was applied yet")
    apply(world, {"a": A})
    assert world.ready() == (True, "ready")
    assert world.version == 1
    assert repr(world) == "<World 1: 1 listeners, 0 clusters>"


def test_a_cluster_may_ask_to_be_waited_for(world: World) -> None:
    check = {"tcp": True}
    waited = {"endpoints": ["127.0.0.1:9"], "require_ready": True, "health_check": check, "panic_threshold": 0}
    apply(world, {"a": A}, clusters={"slow": waited, "any": {"endpoints": ["127.0.0.1:9"], "health_check": check}})
    ready, why = world.ready()
    assert not ready
    assert why.startswith("cluster slow: ")


def test_a_bind_that_stays_is_never_closed(world: World) -> None:
    apply(world, {"a": A})
    port = only_port(world, "a")
    apply(world, {"a": {**A, "max_connections": 5}, "b": B})
    assert only_port(world, "a") is port
    assert FakePort.opened == ["127.0.0.1:1", "127.0.0.1:2"]


def test_a_bind_that_goes_is_closed_and_one_that_comes_is_opened(world: World) -> None:
    apply(world, {"a": A})
    port = only_port(world, "a")
    apply(world, {"a": B})
    assert not port.listening
    assert only_port(world, "a").listening
    assert world.listeners["a"].addresses == ["127.0.0.1:2"]


def test_a_bind_may_move_to_another_listener(world: World) -> None:
    apply(world, {"a": A, "b": B})
    port = only_port(world, "a")
    apply(world, {"a": B, "b": A})
    assert only_port(world, "b") is port
    assert port.listening
    accepted = FakeAccepted()
    port.accepted(accepted)
    assert world.listeners["b"].adapter.connections == 1


def test_several_binds_of_any_port_are_several_sockets(world: World) -> None:
    any_port = {"bind": ["127.0.0.1:0", "127.0.0.1:0"]}
    apply(world, {"a": any_port})
    ports = list(world.listeners["a"].ports.values())
    assert len(ports) == 2
    apply(world, {"a": any_port, "b": {"bind": "127.0.0.1:0"}})
    assert list(world.listeners["a"].ports.values()) == ports


def test_a_unix_socket_has_its_mode(world: World) -> None:
    apply(world, {"a": {"bind": {"address": "unix:/tmp/x.sock", "mode": "0600", "backlog": 7}}})
    options = only_port(world, "a").options
    assert (options["mode"], options["backlog"], options["name"]) == (0o600, 7, "a")


def test_backlog_and_mode_change_on_the_socket_that_stays(world: World) -> None:
    apply(world, {"a": {"bind": {"address": "unix:/tmp/x.sock", "mode": "0600", "backlog": 7}}})
    port = only_port(world, "a")
    apply(world, {"a": {"bind": {"address": "unix:/tmp/x.sock", "mode": "0666", "backlog": 8}}})
    assert only_port(world, "a") is port
    assert port.adjusted == (8, 0o666)


def test_another_name_of_the_sidecar_reaches_listeners_that_stay(world: World) -> None:
    apply(world, {"a": A}, node={"id": "one"})
    adapter: Any = world.listeners["a"].adapter
    assert adapter.node == "one"
    apply(world, {"a": A}, node={"id": "two"})
    assert world.listeners["a"].adapter is adapter
    assert adapter.node == "two"


def test_one_bind_that_fails_refuses_all_of_it(world: World) -> None:
    apply(world, {"a": A})
    before, chain = dict(world.listeners), world.listeners["a"].adapter.chain
    with pytest.raises(ConfigError) as raised:
        apply(world, {"a": B, "bad": {"bind": "127.0.0.1:666"}, "worse": {"bind": "127.0.0.2:666"}})
    assert [each.file for each in raised.value.problems] == ["listeners.bad.bind[0]", "listeners.worse.bind[0]"]
    assert world.listeners == before
    assert world.listeners["a"].adapter.chain is chain
    assert only_port(world, "a").listening
    assert world.version == 1


def test_the_adapter_stays_and_gets_another_chain(world: World) -> None:
    apply(world, {"a": A})
    adapter = world.listeners["a"].adapter
    assert answer(world, "a") == b"a"
    apply(world, {"a": {**A, "routes": [{"reply": {"body": "other"}}], "http": {"timeouts": {"idle": "7s"}}}})
    assert world.listeners["a"].adapter is adapter
    assert answer(world, "a") == b"other"
    assert adapter.idle_timeout == 7.0  # type: ignore[attr-defined]


def test_another_protocol_is_another_adapter_on_the_same_socket(world: World) -> None:
    apply(world, {"a": A})
    port, adapter = only_port(world, "a"), world.listeners["a"].adapter
    apply(
        world,
        {"a": {**A, "protocol": "tcp", "routes": [{"to": "db"}]}},
        clusters={"db": {"endpoints": ["127.0.0.1:9"]}},
    )
    assert only_port(world, "a") is port
    assert world.listeners["a"].adapter is not adapter
    assert world.listeners["a"].adapter.protocol == "tcp"


def test_a_listener_that_is_gone_leaves_when_its_connections_have(world: World) -> None:
    apply(world, {"a": A, "b": B})
    live = world.listeners["a"]
    live.accepted(FakeAccepted())  # type: ignore[arg-type]
    apply(world, {"b": B})
    assert world.leaving == [live]
    assert world.connections == 1
    clock_of(world).pump([1.0, 1.0])
    assert world.leaving == []
    assert world.connections == 0


def test_a_listener_that_is_gone_is_cut_at_the_drain_limit(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    apply(world, {"a": A})
    live = world.listeners["a"]
    live.accepted(FakeAccepted())  # type: ignore[arg-type]
    monkeypatch.setattr(live.adapter, "drain", lambda: None)
    apply(world, {"b": B}, drain={"limit": "5s"})
    clock_of(world).pump([1.0] * 4)
    assert world.connections == 1
    clock_of(world).pump([1.0] * 2)
    assert world.connections == 0


def test_draining_and_closing_reach_every_listener(world: World) -> None:
    apply(world, {"a": A, "b": B})
    for name in ("a", "b"):
        world.listeners[name].accepted(FakeAccepted())  # type: ignore[arg-type]
    world.stop_accepting()
    assert not any(only_port(world, each).listening for each in ("a", "b"))
    assert world.connections == 2
    world.drain()
    assert all(each.adapter.draining for each in world.listeners.values())  # type: ignore[attr-defined]
    world.close_all()
    assert world.connections == 0


def test_clusters_that_are_gone_are_forgotten(world: World) -> None:
    api = {"endpoints": ["127.0.0.1:9"]}
    apply(world, {"a": {**A, "routes": [{"to": "api"}]}}, clusters={"api": api})
    world.start()
    assert b'cluster="api"' in world.env.metrics.expose()
    apply(world, {"a": A})
    assert b'cluster="api"' not in world.env.metrics.expose()


def test_what_was_begun_for_a_change_that_fails_is_ended(world: World) -> None:
    with pytest.raises(ConfigError):
        apply(world, {"bad": {"bind": "127.0.0.1:666"}}, clusters={"api": {"endpoints": ["127.0.0.1:9"]}})
    assert world.clusters == {}
    assert world._forwards == {}


def test_log_files_that_nobody_names_any_more_are_closed(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    kept: list[set[str]] = []
    monkeypatch.setattr(world.env.logs, "keep", kept.append)
    apply(world, {"a": {**A, "access_log": {"path": "/tmp/own"}}}, access_log={"path": "/tmp/all"})
    apply(world, {"a": {**A, "access_log": "off"}})
    assert kept == [{"/tmp/all", "/tmp/own"}, set()]
