"""Names resolved over real sockets, on the reactor that the mesh runs on."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import threading
from typing import Iterator

import pytest
from twisted.names import dns

from tests.support import PATIENCE, environment

ZONE = {
    "web.mesh": [dns.Record_A("127.0.0.1", 7), dns.Record_A("127.0.0.2", 9), dns.Record_AAAA("::1", 8)],
    "old.mesh": [dns.Record_CNAME("web.mesh", 3), dns.Record_A("127.0.0.3", 60)],
}

SCRIPT = """
import json, sys
from twisted_mesh.server.reactor import install_reactor
install_reactor()
from twisted.internet import defer, reactor
from twisted_mesh.policy.names import ResolvConf
from twisted_mesh.upstream import resolve

# Name servers have port 53, which takes root to listen on.
resolve.parse_resolv_conf = lambda text: ResolvConf((("127.0.0.1", int(sys.argv[1])),), ("mesh",))
resolver = resolve.SystemResolver(reactor)

async def look(host):
    try:
        answer = await resolver.resolve(host, "any")
    except resolve.NotResolved as error:
        return str(error).partition(":")[0]
    return [answer.addresses, answer.ttl]

async def main():
    print(json.dumps({each: await look(each) for each in sys.argv[2:]}))
    reactor.stop()

reactor.callWhenRunning(lambda: defer.ensureDeferred(main()))
reactor.run()
"""


class NameServer:
    """Answers from `ZONE` over UDP, with NXDOMAIN for what is not there."""

    def __init__(self) -> None:
        self._sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._sock.bind(("127.0.0.1", 0))
        self.port = self._sock.getsockname()[1]
        self._sock.settimeout(0.05)
        self._open = True
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def _serve(self) -> None:
        while self._open:
            try:
                data, client = self._sock.recvfrom(4096)
            except TimeoutError:
                continue
            message = dns.Message()
            message.fromStr(data)
            message.answer = 1
            for query in message.queries:
                name = str(query.name)
                records = ZONE.get(name)
                message.rCode = dns.ENAME if records is None else dns.OK
                message.answers = [
                    dns.RRHeader(name, each.TYPE, dns.IN, each.ttl, each)
                    for each in records or ()
                    if each.TYPE in (query.type, dns.CNAME)
                ]
            self._sock.sendto(message.toStr(), client)

    def stop(self) -> None:
        self._open = False
        self._thread.join(PATIENCE)
        self._sock.close()


@pytest.fixture
def name_server() -> Iterator[NameServer]:
    server = NameServer()
    yield server
    server.stop()


def test_names_are_resolved_over_udp(name_server: NameServer) -> None:
    names = ["web", "old.mesh", "localhost", "nosuch.invalid"]
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(name_server.port), *names],
        env=environment(),
        capture_output=True,
        check=False,
        text=True,
        timeout=PATIENCE,
    )
    assert done.stderr == ""
    answers = json.loads(done.stdout)
    assert answers["web"] == [["127.0.0.1", "127.0.0.2", "::1"], 7]
    assert answers["old.mesh"] == [["127.0.0.3"], 3]
    assert set(answers["localhost"][0]) <= {"127.0.0.1", "::1"}
    assert answers["nosuch.invalid"] == "nosuch.invalid"
