"""``meshctl check``."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from tests.support import ROOT
from tests.tls_front import Authority
from twisted_mesh.cli.main import main


def test_a_good_configuration_is_summed_up(capsys: pytest.CaptureFixture[str]) -> None:
    path = str(ROOT / "config" / "redis-topologies.yaml")
    assert main(["check", path]) == 0
    shown = capsys.readouterr()
    assert re.fullmatch(
        r"\S+redis-topologies\.yaml: good: \d+ listeners?, \d+ routing tables?, \d+ clusters\n", shown.out
    )
    assert shown.err == ""


def test_problems_go_to_standard_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "mesh.yaml"
    path.write_text("mesh: a b\nnod: 5\n")
    assert main(["check", str(path)]) == 1
    shown = capsys.readouterr()
    assert shown.out == ""
    lines = shown.err.splitlines()
    assert lines[0].startswith(f"{path}:1:7: mesh: expected a name")
    assert lines[1:] == [f'{path}:2:1: nod: unknown name; did you mean "node"?', f"{path}: 2 problems"]


def test_a_missing_file_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "no.yaml"
    assert main(["check", str(path)]) == 1
    assert capsys.readouterr().err == f"{path}: cannot be read: No such file or directory\n"


def test_variables_come_from_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "mesh.yaml").write_text("mesh: ${MESH_OF_A_TEST}\n")
    assert main(["check", str(tmp_path)]) == 1
    monkeypatch.setenv("MESH_OF_A_TEST", "shop")
    assert main(["check", str(tmp_path)]) == 0
    assert capsys.readouterr().out.endswith("good: 0 listeners, 0 routing tables, 0 clusters\n")


def test_for_programs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "mesh.yaml"
    path.write_text("clusters: {web: {endpoints: [127.0.0.1:80]}}\n")
    assert main(["check", str(path), "-o", "json"]) == 0
    assert json.loads(capsys.readouterr().out) == {
        "good": True,
        "problems": [],
        "counts": {"listeners": 0, "routing tables": 0, "clusters": 1},
    }
    path.write_text("nod: 5\n")
    assert main(["check", str(path), "-o", "json"]) == 1
    said = json.loads(capsys.readouterr().out)
    assert (said["good"], said["problems"][0]["line"], said["problems"][0]["path"]) == (False, 1, "nod")


def test_certificates_are_looked_at(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Each listener's, with the place; what is good is said to be."""
    authority = Authority(tmp_path)
    one, two = authority.issue("one"), authority.issue("two")
    path = tmp_path / "mesh.yaml"
    text = "listeners:\n  {name}:\n    bind: 127.0.0.1:0\n    tls:\n      certificates:\n"
    text += f"        - {{{{certificate: {one}, key: {{key}}}}}}\n    routes: []\n"
    path.write_text(text.format(name="web", key=two))
    assert main(["check", str(path)]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    said = "listeners.web.tls.certificates[0].key: the key does not belong to the certificate"
    assert line.startswith(f"{path}:6:") and said in line
    path.write_text(text.format(name="web", key="/no/such"))
    assert main(["check", str(path)]) == 1
    assert "/no/such cannot be read: No such file" in capsys.readouterr().err
    path.write_text(text.format(name="web", key=one))
    assert main(["check", str(path)]) == 0
