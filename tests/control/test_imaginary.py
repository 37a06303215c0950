"""Calls that nobody has made."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from twisted_mesh.control.imaginary import Question, listener_for


@pytest.mark.parametrize("url", ["http://[::1", "http://shop:80:80/", "http://shop:abc/", "http://shop:99999/"])
def test_a_url_without_a_host_or_port_is_said_to_be_none(url: str) -> None:
    world: Any = SimpleNamespace(listeners={})
    with pytest.raises(ValueError, match="expected a URL such as http:") as caught:
        listener_for(world, Question("GET", url, [], [], "", "127.0.0.1", "", 0))
    assert url in str(caught.value)
