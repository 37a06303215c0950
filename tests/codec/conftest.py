"""One real server for the tests of this directory that ask one."""

from __future__ import annotations

from typing import Iterator

import pytest

from tests.servers import Server


@pytest.fixture(scope="session")
def server() -> Iterator[Server]:
    server = Server().start()
    yield server
    server.stop()
