"""The wheel that setup.cfg makes, installed into an empty environment, gives a working `twistd mesh` and `meshctl`.

The environment borrows the libraries of the one that runs the tests, so that nothing is downloaded; of twisted_mesh it
has the wheel alone.
"""

from __future__ import annotations

import email
import os
import shutil
import subprocess
import sys
import sysconfig
import venv
import zipfile
from pathlib import Path
from typing import Any, Sequence

import pytest

from tests.support import ROOT, free_port, request, start_mesh
from twisted_mesh import __version__

MESH = """
listeners: {{edge: {{bind: '127.0.0.1:{port}', routes: [{{reply: {{body: hello}}}}]}}}}
"""


def run(command: Sequence[Any], directory: Path) -> str:
    """Run a command outside of the checkout, and return what it prints."""
    env = {key: value for key, value in os.environ.items() if not key.startswith("PYTHON")}
    done = subprocess.run(
        [str(each) for each in command],
        cwd=directory,
        env=env,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the wheel from a copy: building leaves things in the sources."""
    source = tmp_path_factory.mktemp("source") / "mesh"
    keep_out = shutil.ignore_patterns(".*", "*.egg-info", "__pycache__", "build", "dist", "tests", "docs", "benchmarks")
    shutil.copytree(ROOT, source, ignore=keep_out)
    out = tmp_path_factory.mktemp("dist")
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check"]
    run([*pip, "wheel", "--quiet", "--no-deps", "--no-build-isolation", "--no-index", "-w", out, source], out)
    [made] = out.glob("*.whl")
    return made


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The directory of the scripts of an environment with the wheel in it."""
    place = tmp_path_factory.mktemp("env")
    venv.create(place, with_pip=False, symlinks=True)
    python = place / "bin" / "python"
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--python", python]
    run([*pip, "install", "--quiet", "--no-deps", "--no-index", wheel], place)
    site = run([python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"], place).strip()
    # A plain path: what stands in .pth files of that directory (this checkout, say) is not looked at.
    Path(site, "borrowed.pth").write_text(sysconfig.get_path("purelib") + "\n")
    where = run([python, "-c", "import twisted_mesh; print(twisted_mesh.__file__)"], place)
    assert where.startswith(str(place))
    return place / "bin"


def test_what_is_in_the_wheel(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    sources = {str(each.relative_to(ROOT)) for each in (ROOT / "twisted_mesh").rglob("*.py")}
    packed = {each for each in names if each.startswith("twisted_mesh/")}
    assert packed == sources | {"twisted_mesh/py.typed"}
    assert {each for each in names if each.startswith("twisted/")} == {"twisted/plugins/twisted_mesh_plugin.py"}
    assert {each.split("/")[0] for each in names} == {
        "twisted",
        "twisted_mesh",
        f"twisted_mesh-{__version__}.dist-info",
    }


def test_what_the_wheel_says_of_itself(wheel: Path) -> None:
    inside = zipfile.ZipFile(wheel)
    metadata = email.message_from_bytes(inside.read(f"twisted_mesh-{__version__}.dist-info/METADATA"))
    assert metadata["Version"] == __version__
    assert metadata["Requires-Python"] == ">=3.10"
    assert "MIT" in (metadata["License"] or metadata["License-Expression"])
    requires = metadata.get_all("Requires-Dist", [])
    for name in (
        *("twisted", "treq", "pyopenssl", "service-identity", "txredisapi", "zope.interface", "httptools"),
        *("hiredis", "msgspec", "pydantic", "PyYAML", "prometheus-client", "uvloop"),
    ):
        [line] = [each for each in requires if each.lower().startswith(name.lower()) and "extra ==" not in each]
        assert ">=" in line
    assert set(metadata.get_all("Provides-Extra", [])) >= {"embedded", "test", "bench", "docs"}


def test_meshctl_checks_a_configuration(installed: Path, tmp_path: Path) -> None:
    (tmp_path / "mesh.yaml").write_text(MESH.format(port=free_port()))
    assert run([installed / "meshctl", "--version"], tmp_path).strip().endswith(__version__)
    run([installed / "meshctl", "check", "mesh.yaml"], tmp_path)


def test_twistd_mesh_serves(installed: Path, tmp_path: Path) -> None:
    port = free_port()
    twistd = [
        str(installed / "python"),
        "-c",
        "from twisted.scripts.twistd import run; run()",
        "-n",
        "--pidfile=",
        "mesh",
    ]
    running = start_mesh(MESH.format(port=port), tmp_path, command=twistd, env={"PYTHONPATH": ""})
    try:
        assert request(port).text == "hello"
    finally:
        running.stop()
