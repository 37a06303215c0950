"""A listener that is live."""

from __future__ import annotations

from typing import Any, Awaitable

from twisted.internet.task import Clock

from tests.control.test_env import make_env
from twisted_mesh import model
from twisted_mesh.call import Call, Reply
from twisted_mesh.control.compile import Chain
from twisted_mesh.control.listener import LiveListener
from twisted_mesh.families import Families


class FakeAdapter:
    """Takes connections and options."""

    protocol = "http"
    active = 0

    def __init__(self) -> None:
        self.taken: list[Any] = []
        self.options: list[Any] = []

    @property
    def connections(self) -> int:
        return len(self.taken)

    def accepted(self, accepted: Any) -> None:
        self.taken.append(accepted)

    def configure(self, options: Any) -> None:
        self.options.append(options)


class FakePort:
    def __init__(self, address: str) -> None:
        self.address = address
        self.listening = True

    def stop_accepting(self) -> None:
        self.listening = False


class FakeAccepted:
    def __init__(self) -> None:
        self.sock = self
        self.closed = False

    def close(self) -> None:
        self.closed = True


def config(**more: Any) -> model.Listener:
    return model.Listener.model_validate({"bind": "127.0.0.1:1", "routes": "shop", **more})


def make(**more: Any) -> Any:
    adapter: Any = FakeAdapter()
    env = make_env(Clock())
    live: Any = LiveListener("edge", config(**more), adapter, env)
    live.metrics = env.metrics
    return live


def chain_of(word: str) -> Chain:
    async def proceed(call: Call) -> Reply:
        return Reply(200, body=word.encode())

    def watch(call: Call, proceed: Any) -> Awaitable[Reply]:
        result: Awaitable[Reply] = proceed(call)
        return result

    return Chain(proceed, [watch])


def test_connections_go_to_the_adapter_up_to_a_limit() -> None:
    live = make(max_connections=2)
    first, second, third = FakeAccepted(), FakeAccepted(), FakeAccepted()
    for each in (first, second, third):
        live.accepted(each)
    assert live.adapter.taken == [first, second]
    assert (second.closed, third.closed) == (False, True)
    [(labels, cell)] = Families(live.metrics).connections_refused.series()
    assert (labels, cell.value) == (("http", "edge"), 1)


def test_another_configuration_swaps_the_chain_and_tells_the_adapter_what_changed() -> None:
    live = make()
    one, two = chain_of("one"), chain_of("two")
    live.configure(config(), one, "web-1")
    assert live.adapter.chain is one.proceed
    assert live.adapter.observers is one.observers
    assert live.adapter.options == []
    changed = config(http={"trusted_hops": 1})
    live.configure(changed, two, "web-2")
    assert live.adapter.chain is two.proceed
    assert live.adapter.options == [changed.http]


def test_a_tcp_listener_goes_by_the_tcp_options() -> None:
    live = make(protocol="tcp")
    changed = config(protocol="tcp", tcp={"idle_timeout": "1s"}, http={"trusted_hops": 1})
    live.configure(changed, chain_of("one"), "")
    assert live.adapter.options == [changed.tcp]


def test_what_it_shows_of_itself() -> None:
    live = make()
    live.ports = {"a": FakePort("127.0.0.1:8080"), "b": FakePort("unix:/tmp/x")}
    assert live.describe() == {
        "name": "edge",
        "protocol": "http",
        "addresses": ["127.0.0.1:8080", "unix:/tmp/x"],
        "accepting": True,
        "connections": 0,
        "active_calls": 0,
    }
    live.stop_accepting()
    assert live.describe()["accepting"] is False
    assert "edge" in repr(live)
