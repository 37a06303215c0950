"""What files and the bus say together."""

from __future__ import annotations

from pathlib import Path

import pytest

from twisted_mesh.control.judge import Request, judge, result
from twisted_mesh.control.load import Files
from twisted_mesh.control.merge import Offer
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
