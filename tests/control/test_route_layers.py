"""What a route's own settings put round its calls."""

from __future__ import annotations

from typing import Any, Optional

import pytest
from twisted.internet.task import Clock

from tests.control.test_compile import FakeCluster, run
from tests.control.test_env import make_env
from twisted_mesh import model
from twisted_mesh.chain import compose
from twisted_mesh.control.compile import Chain
from twisted_mesh.control.route_layers import failover_of, innermost_of, settings_layers
from twisted_mesh.families import Families
from twisted_mesh.testing import http_call


class World:
    """Two clusters, and what routes to them are made of."""

    def __init__(self) -> None:
        self.env = make_env(Clock())
        self.clusters: Any = {"api": FakeCluster("api"), "web": FakeCluster("web")}
        for each in self.clusters.values():
            each.forwards["redis"] = each.forward

    def layers(self, route: Any, protocol: str = "http") -> list[str]:
        return [type(each).__name__ for each in self._layers(route, protocol)]

    def _layers(self, route: Any, protocol: str) -> list[Any]:
        config = model.Route.model_validate(route)
        return settings_layers(config, protocol, "listeners/edge/routes/api", self.clusters, self.env)

    def answer(self, route: Any, path: str = "/", protocol: str = "http") -> Any:
        """What a call gets from the layers and what is innermost."""
        config = model.Route.model_validate(route)
        innermost = innermost_of(config, [self.clusters[each.cluster] for each in config.to], protocol)
        return run(Chain(compose(self._layers(route, protocol), innermost), ()), http_call("GET", path))


HEDGED = {"attempts": 2, "hedge": {"after": "10ms"}}


@pytest.mark.parametrize(
    ("more", "http", "redis"),
    [
        ({}, ["Retry"], ["RedisRetry"]),
        ({"retry": "off"}, ["function"], []),
        ({"retry": "off", "timeout": "off"}, [], []),
        ({"retry": {"attempts": 1}}, ["function"], []),
        ({"retry": {"attempts": 1, "per_try_timeout": "1s"}}, ["Retry", "PerTry"], None),
        ({"retry": HEDGED}, ["Retry", "Hedge"], None),
        ({"mirror": ["web", "api"]}, ["Mirror", "Mirror", "Retry"], ["RedisMirror", "RedisMirror", "RedisRetry"]),
        ({"mirror": "web", "retry": "off", "timeout": "off"}, ["Mirror"], ["RedisMirror"]),
    ],
)
def test_which_layers_there_are_and_in_which_order(more: Any, http: list[str], redis: Optional[list[str]]) -> None:
    world = World()
    assert world.layers({"to": "api", **more}) == http
    assert redis is None or world.layers({"to": "api", **more}, "redis") == redis


def test_what_the_mesh_answers_itself_is_not_tried_again() -> None:
    assert World().layers({"reply": {"status": 204}, "timeout": "off"}) == []


def test_a_reply_of_the_mesh_itself() -> None:
    reply = World().answer({"reply": {"status": 404, "body": "gone", "headers": {"x-a": "b"}}})
    assert (reply.status, reply.body, reply.headers.get("x-a"), reply.local) == (404, b"gone", "b", True)


def test_a_redirect() -> None:
    redirect = World().answer({"redirect": {"url": "https://a.example/", "status": 308}})
    assert (redirect.status, redirect.headers.get("location")) == (308, "https://a.example/")
    moved = {"match": {"path": {"prefix": "/old"}}, "redirect": {"prefix": "/new"}}
    assert World().answer(moved, "/old/x?y").headers.get("location") == "/new/x?y"


def test_a_target_that_is_the_only_one_answers_without_being_looked_up() -> None:
    """The call has no cluster yet, and need not have one."""
    assert World().answer({"to": "web", "retry": "off", "timeout": "off"}).headers.get("x-cluster") == "web"


def test_a_mirror_is_sent_a_copy() -> None:
    world = World()
    assert world.answer({"to": "api", "mirror": "web"}).headers.get("x-cluster") == "api"
    assert (world.clusters["api"].calls, world.clusters["web"].calls) == (1, 1)


def test_reserves_are_taken_in_their_order_and_counted_by_who_was_not_ready() -> None:
    world = World()
    failover = failover_of(["web"], "http", world.clusters, world.env)
    assert failover is not None
    assert failover_of([], "http", world.clusters, world.env) is None
    call, api = http_call(), world.clusters["api"]
    call.cluster = api
    failover(call)
    assert call.cluster is api
    api.ready = False
    failover(call)
    assert call.cluster is world.clusters["web"]
    [(labels, cell)] = Families(world.env.metrics).failovers.series()
    assert (labels, cell.value) == (("http", "api"), 1)
