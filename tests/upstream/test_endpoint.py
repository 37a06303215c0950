"""What an endpoint keeps, and when it drains."""

from __future__ import annotations

from twisted_mesh.model import Address
from twisted_mesh.upstream.endpoint import Endpoint


class Pool:
    drained = 0

    def drain(self) -> None:
        self.drained += 1

    def __repr__(self) -> str:
        return "<Pool>"


def an_endpoint(text: str = "127.0.0.1:80", **options: object) -> Endpoint:
    return Endpoint(Address.parse(text), **options)  # type: ignore[arg-type]


def test_it_says_what_it_is() -> None:
    endpoint = an_endpoint("[::1]:80", name="web:80", weight=3)
    assert repr(endpoint) == "<Endpoint [::1]:80 (web:80) unchecked active=0 weight=3>"
    assert endpoint.address == "[::1]:80"


def test_its_state_is_one_word() -> None:
    endpoint = an_endpoint()
    states = [endpoint.state]
    endpoint.checked = True
    states.append(endpoint.state)
    endpoint.healthy = False
    states.append(endpoint.state)
    endpoint.hold()
    endpoint.release()
    states.append(endpoint.state)
    assert states == ["unchecked", "healthy", "unhealthy", "draining"]


def test_it_drains_when_the_last_cluster_lets_go() -> None:
    endpoint, pool = an_endpoint(), Pool()
    endpoint.pools["http"] = pool
    endpoint.hold()
    endpoint.hold()
    endpoint.release()
    assert not endpoint.draining
    endpoint.release()
    assert endpoint.draining
    assert pool.drained == 1


def test_what_is_configured_changes_and_what_was_learnt_stays() -> None:
    endpoint = an_endpoint()
    endpoint.successes = 7
    endpoint.checked = True
    assert not endpoint.configure(an_endpoint(zone="b", labels={"v": "2"}))
    assert endpoint.configure(an_endpoint(weight=2))
    assert (endpoint.weight, endpoint.successes, endpoint.checked) == (2, 7, True)


def test_it_describes_itself() -> None:
    endpoint = an_endpoint(zone="a", labels={"v": "1"})
    endpoint.pools["http"] = Pool()
    assert endpoint.describe() == {
        "address": "127.0.0.1:80",
        "name": "",
        "state": "unchecked",
        "reason": "not checked",
        "since": 0.0,
        "weight": 1,
        "zone": "a",
        "labels": {"v": "1"},
        "declared": {"weight": 1, "instance": "", "status": "up"},
        "override": None,
        "out": "",
        "doubt": "",
        "active": 0,
        "successes": 0,
        "failures": 0,
        "conduct": None,
        "connections": {"http": "<Pool>"},
    }


def test_health_is_forgotten() -> None:
    endpoint = an_endpoint()
    endpoint.checked, endpoint.healthy, endpoint.health_reason = True, False, "refused"
    endpoint.forget_health()
    assert (endpoint.state, endpoint.healthy, endpoint.health_reason) == ("unchecked", True, "not checked")
