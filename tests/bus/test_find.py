"""Which way the server is found."""

from __future__ import annotations

import random
from typing import Any

import pytest
from twisted.internet.task import Clock

from twisted_mesh.bus.dial import Dialer
from twisted_mesh.bus.find import Finder, finder
from twisted_mesh.bus.sentinel import SentinelFinder
from twisted_mesh.metrics import Registry
from twisted_mesh.model.redis import parse


def found(url: str) -> Finder:
    clock: Any = Clock()
    dialer = Dialer(parse(url), clock)
    return finder(dialer, "m", reactor=clock, random=random.Random(), metrics=Registry(), now=clock.seconds)


@pytest.mark.parametrize(
    ("url", "cls"),
    [
        ("redis://a", Finder),
        ("rediss://a,b", Finder),
        ("unix:///a", Finder),
        ("sentinel://a/main", SentinelFinder),
    ],
)
def test_each_kind_of_url_has_its_way(url: str, cls: type) -> None:
    assert type(found(url)) is cls


def test_an_embedded_server_has_an_address_only_when_it_is_started() -> None:
    with pytest.raises(ValueError, match="an embedded Redis has to be started first"):
        found("embedded")
