"""What files and the bus say together."""

from __future__ import annotations

import io
from pathlib import Path

import pytest

from twisted_mesh.control.judge import FEW, Brief, Request, Verdict, judge, pack_request, result, unpack_request
from twisted_mesh.control.load import Files
from twisted_mesh.control.offers import Offer, Refusal
from twisted_mesh.control.parcels import Unpacking
from twisted_mesh.errors import ConfigError


def test_files_of_the_bus_start_at_the_directory_of_the_configuration(tmp_path: Path) -> None:
    (tmp_path / "port").write_text("127.0.0.1:77\n")
    (tmp_path / "mesh.yaml").write_text("{}")
    offer = Offer.of("clusters/web", 5, {"endpoints": ["file:port", "${HOST}:1"]})
    for path in (tmp_path, tmp_path / "mesh.yaml"):
        config, _ = judge(Request(str(path), offers=[offer]), {"HOST": "127.0.0.2"})
        assert [str(each.address) for each in config.clusters["web"].endpoints] == ["127.0.0.1:77", "127.0.0.2:1"]


def test_files_that_were_read_before_are_not_read_again(tmp_path: Path) -> None:
    files = Files("gone.yaml", (("gone.yaml", "mesh: other"),))
    config, verdict = judge(Request(str(tmp_path / "gone.yaml"), files), {})
    assert config.mesh == "other"
    assert verdict.files is files


def test_what_is_wrong_in_the_files_is_the_only_parcel() -> None:
    parcels = list(result(Request("mesh.yaml", Files("mesh.yaml", (("mesh.yaml", "mesh: a b"),)))))
    with pytest.raises(ConfigError, match=r"mesh.yaml:1:7: mesh: "):
        next(Unpacking(parcels, None).steps())


def offers(version: int, *names: str) -> list[Offer]:
    return [Offer.of(name, version, {"version": version}) for name in names]


def test_a_request_comes_back_from_its_pieces() -> None:
    many = offers(1, *(f"clusters/c{at}" for at in range(2 * FEW + 1)))
    request = Request("mesh.yaml", Files("mesh.yaml", ()), many, offers(2, "clusters/web"), "127.0.0.1:1")
    pieces = list(pack_request(request))
    assert len(pieces) == 1 + 3 + 1
    assert unpack_request(io.BytesIO(b"".join(pieces))) == request
    empty = Request("mesh.yaml", None, [], [])
    assert unpack_request(io.BytesIO(b"".join(pack_request(empty)))) == empty


def test_a_verdict_comes_back_from_what_is_said_of_it() -> None:
    """Offers in force, one that was refused for what was there before, one that was refused with nothing before it,
    and one that was deleted and is still needed.
    """
    files = Files("mesh.yaml", ())
    request = Request("mesh.yaml", files, offers(2, "a", "b", "new"), offers(1, "a", "b", "deleted", "gone"))
    refused = [Refusal("b", 2, ()), Refusal("new", 2, ()), Refusal("deleted", 1, (), True)]
    verdict = Verdict(files, offers(2, "a") + offers(1, "b", "deleted"), refused)
    brief = Brief.of(verdict, request)
    assert brief.verdict(request) == verdict
    assert (brief.older, brief.out) == ({"b", "deleted"}, {"new"})
