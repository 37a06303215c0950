"""``meshctl get``."""

from __future__ import annotations

from typing import Callable

from tests.cli.conftest import Meshctl
from tests.servers import Server

Write = Callable[..., str]
FILE = """\
select: {service: [web, api], labels: {tier: edge}}
clusters: {web: {endpoints: [127.0.0.1:80]}}
routes: {shop: [{match: {header: {x-version: "1e3"}}, to: web}]}
"""


def test_a_list(meshctl: Meshctl, write: Write) -> None:
    meshctl("apply", "-f", write(FILE), "--reason", "why not")
    assert meshctl("get").rows == [
        ["clusters/web", "1", "0s", "ann", "service=web|api,tier=edge", "why", "not"],
        ["routes/shop", "1", "0s", "ann", "service=web|api,tier=edge", "why", "not"],
    ]
    assert [row[0] for row in meshctl("get", "routes").rows] == ["routes/shop"]
    assert meshctl("get", "listeners").rows == []
    assert meshctl("get", "listeners", "-o", "names").out == ""
    assert meshctl("get", "-o", "names").out == "clusters/web\nroutes/shop\n"
    [one] = meshctl("get", "clusters/web", "-o", "json").json
    assert one.pop("at") > 1e9
    assert one == {
        "name": "clusters/web",
        "version": 1,
        "author": "ann",
        "reason": "why not",
        "select": {"service": ["web", "api"], "labels": {"tier": "edge"}},
        "value": {"endpoints": ["127.0.0.1:80"]},
        "problem": None,
    }


def test_what_is_printed_can_be_applied_again(meshctl: Meshctl, write: Write) -> None:
    meshctl("apply", "-f", write(FILE))
    for text in (meshctl("get", "-o", "yaml").out, meshctl("get", "routes/shop", "clusters/web").out):
        assert "select:" in text
        assert meshctl("diff", "-f", write(text, "again.yaml"), "--exit-code").out == ""


def test_as_it_was(meshctl: Meshctl, write: Write) -> None:
    meshctl("apply", "-f", write(FILE))
    meshctl("delete", "routes/shop")
    assert [row[0] for row in meshctl("get").rows] == ["clusters/web"]
    assert [row[0] for row in meshctl("get", "--at", "1").rows] == ["clusters/web", "routes/shop"]


def test_what_is_not_there(meshctl: Meshctl, write: Write) -> None:
    meshctl("apply", "-f", write(FILE))
    said = meshctl("get", "clusters/wbe", "clusters/web", "-o", "json", status=1)
    assert said.err == 'meshctl: there is no clusters/wbe on the bus; did you mean "clusters/web"?\n'
    assert said.json["missing"] == ["clusters/wbe"]


def test_what_does_not_belong_together(meshctl: Meshctl, write: Write) -> None:
    meshctl("apply", "-f", write(FILE))
    meshctl("apply", "-f", write("clusters: {api: {endpoints: [127.0.0.1:81]}}"))
    said = meshctl("get", "-o", "yaml", status=1)
    assert said.err.startswith("meshctl: these are for different sidecars")


def test_what_others_wrote_and_nobody_can_read(meshctl: Meshctl, write: Write, bus_server: Server) -> None:
    meshctl("apply", "-f", write(FILE))
    [key] = [
        each
        for each in bus_server("KEYS", "mesh:{default}:config*")
        if bus_server("TYPE", each) == b"hash" and bus_server("HEXISTS", each, "clusters/web")
    ]
    for record in ("nonsense", '{"version": 1, "author": "x", "at": 1}\n\nno json'):
        bus_server("HSET", key, "clusters/web", record)
        meshctl("apply", "-f", write(FILE))
        assert "clusters:" in meshctl("get", "clusters/web").out
    bus_server("HSET", key, "clusters/web", "nonsense")
    row = next(each for each in meshctl("get").rows if each[0] == "clusters/web")
    assert "unreadable:" in row
    assert "cannot be read" in meshctl("get", "clusters/web", status=1).err
    assert next(each for each in meshctl("get", "-o", "json").json if each["name"] == "clusters/web")["problem"]
