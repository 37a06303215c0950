"""A child process loads, and its parent gets the same."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support import ROOT
from twisted_mesh.control.judge import Request, Verdict, judge, pack_request
from twisted_mesh.control.load import Files, load
from twisted_mesh.control.offers import Offer
from twisted_mesh.control.parcels import Unpacking, unframed
from twisted_mesh.errors import ConfigError, Problem
from twisted_mesh.model import Config


def run(*arguments: str, path: str = "", stdin: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    env = {**os.environ, "PYTHONPATH": os.pathsep.join([path, str(ROOT)]) if path else str(ROOT)}
    command = [sys.executable, "-m", "twisted_mesh.control.check", *arguments]
    return subprocess.run(command, env=env, input=stdin, capture_output=True, timeout=60, check=False)


def unpacked(parcels: list[bytes], request: Request) -> tuple[Config, Verdict]:
    unpacking = Unpacking(parcels, None)
    for _ in unpacking.steps():
        continue
    return unpacking.config, unpacking.more.verdict(request)


def problems_in(parcels: list[bytes]) -> list[Problem]:
    with pytest.raises(ConfigError) as caught:
        unpacked(parcels, Request(""))
    return caught.value.problems


def test_a_good_configuration_comes_back() -> None:
    path = str(ROOT / "config" / "complete.yaml")
    done = run(path)
    assert done.returncode == 0
    config, verdict = unpacked(unframed(done.stdout), Request(path))
    assert config == load(path, {})
    assert (verdict.in_force, verdict.refused) == ([], [])


def test_problems_come_back(tmp_path: Path) -> None:
    (tmp_path / "mesh.yaml").write_text("mesh: a b\nnod: 5\n")
    path = str(tmp_path / "mesh.yaml")
    done = run(path)
    assert done.returncode == 0
    assert [(type(each), each.file, each.line, each.path) for each in problems_in(unframed(done.stdout))] == [
        (Problem, path, 1, "mesh"),
        (Problem, path, 2, "nod"),
    ]


def test_what_a_plugin_prints_is_not_taken_for_the_result(tmp_path: Path) -> None:
    directory = tmp_path / "twisted_mesh" / "filters"
    directory.mkdir(parents=True)
    (directory / "loud.py").write_text("import os\nprint('hello')\nos.write(1, b'there')\n")
    (tmp_path / "mesh.yaml").write_text("listeners: {a: {bind: 'a:1', routes: [], filters: [loud]}}\n")
    done = run(str(tmp_path / "mesh.yaml"), path=str(tmp_path))
    assert b"hello" in done.stderr
    assert b"there" in done.stderr
    [problem] = problems_in(unframed(done.stdout))
    assert 'there is no filter "loud"' in problem.message


def test_it_wants_one_path_at_most() -> None:
    done = run("a", "b")
    assert (done.returncode, done.stdout) == (2, b"")
    assert done.stderr == b"usage: python -m twisted_mesh.control.check [PATH]\n"


FILES = Files("mesh.yaml", (("mesh.yaml", "clusters: {web: {endpoints: [127.0.0.1:1]}}"),))


def test_what_the_bus_offers_comes_back_with_what_was_refused() -> None:
    offers = [Offer.of("clusters/web", 5, {"endpoints": 7}), Offer.of("clusters/new", 5, {"endpoints": ["a:1"]})]
    request = Request("mesh.yaml", FILES, offers, [Offer.of("clusters/web", 4, {"endpoints": ["b:1"]})])
    done = run(stdin=b"".join(pack_request(request)))
    config, verdict = unpacked(unframed(done.stdout), request)
    same_config, same = judge(request, {})
    assert config == same_config
    assert (sorted(verdict.in_force), verdict.refused) == (sorted(same.in_force), same.refused)
    assert sorted((each.name, each.version) for each in verdict.in_force) == [("clusters/new", 5), ("clusters/web", 4)]
    assert [(each.name, each.version) for each in verdict.refused] == [("clusters/web", 5)]
    assert str(config.clusters["web"].endpoints[0].address) == "b:1"
    assert verdict.files == FILES
