"""The services behind the demonstration."""

from __future__ import annotations

import json
import threading
from typing import Any, Iterator

import pytest

from tests.support import RawClient, request
from twisted_mesh.server.demo_services import EchoService, HttpService, main


@pytest.fixture(params=["http", "echo"])
def service(request: Any) -> Iterator[Any]:
    made = HttpService("v7", 0) if request.param == "http" else EchoService(0)
    thread = threading.Thread(target=made.serve_forever, args=(0.02,))
    thread.start()
    yield made
    made.shutdown()
    made.server_close()
    thread.join()


@pytest.mark.parametrize("service", ["http"], indirect=True)
def test_the_http_service_says_who_it_is(service: HttpService) -> None:
    port = service.server_address[1]
    answer = request(port, "/x", headers={"x-request-id": "r1"})
    assert json.loads(answer.body) == {"service": "v7", "path": "/x", "x-request-id": "r1"}
    assert answer.header("content-type") == "application/json"
    assert request(port, "/healthz").text == "ok\n"
    assert request(port, "/", "POST", b"12345").text == "5 bytes\n"


@pytest.mark.parametrize("service", ["echo"], indirect=True)
def test_the_echo_sends_back_what_it_gets(service: EchoService) -> None:
    with RawClient(service.server_address[1]) as client:
        client.send(b"hello")
        assert client.read_exactly(5) == b"hello"
        client.half_close()
        assert client.read_to_end() == b""


def test_a_wrong_command_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["http"]) == 2
    assert capsys.readouterr().err.startswith("usage: ")
