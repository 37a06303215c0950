"""What the documentation shows is true: files are written, commands are run, links lead somewhere."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any, Callable, NamedTuple

import pytest

from tests.servers import Server
from tests.support import ROOT, HttpUpstream, Mesh, environment, free_port, free_ports, request, until
from twisted_mesh.control.found import find_filter
from twisted_mesh.control.load import load_text
from twisted_mesh.errors import FLAGS
from twisted_mesh.families import Families
from twisted_mesh.filters.log_format import ARGUMENT_FIELDS, FIELDS
from twisted_mesh.metrics import Registry
from twisted_mesh.server.levels import Levels
from twisted_mesh.server.options import Options
from twisted_mesh.server.pages import Pages

PAGES = sorted([ROOT / "README.md", *ROOT.glob("docs/*.md")])
_FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"\]\(([^)\s]+)\)")


class Block(NamedTuple):
    """A fenced block of a page."""

    language: str
    text: str

    @property
    def path(self) -> str:
        """The file that it is, by its first line; "" if it is none."""
        found = re.match(r"# (\S+\.(?:py|yaml))\n", self.text)
        return found[1] if found else ""


def blocks(page: str) -> list[Block]:
    return [Block(*each) for each in _FENCE.findall((ROOT / page).read_text("utf-8"))]


def write_files(page: str, directory: Path) -> list[str]:
    """Write every block that is a file; returns their paths."""
    written = []
    for each in blocks(page):
        if each.path:
            target = directory / each.path
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(each.text)
            written.append(each.path)
    return written


def run(command: str, directory: Path) -> str:
    """Run a command as the page shows it, and return what it printed."""
    tools = directory / "bin"
    if not tools.exists():
        tools.mkdir()
        # As installed, whether this checkout is or not.
        for name, module in (("python", ""), ("meshctl", " -m twisted_mesh.cli.main")):
            tool = tools / name
            tool.write_text(f'#!/bin/sh\nexec {sys.executable}{module} "$@"\n')
            tool.chmod(0o755)
    here = environment()
    line = command.replace("PYTHONPATH=", f"PYTHONPATH={here['PYTHONPATH']}{os.pathsep}")
    here["PATH"] = f"{tools}{os.pathsep}{here['PATH']}"
    done = subprocess.run(
        ["sh", "-ec", line], cwd=directory, env=here, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, f"{command}\n{done.stdout}{done.stderr}"
    return done.stdout


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    for link in _LINK.findall(page.read_text("utf-8")):
        if "://" not in link:
            assert (page.parent / link.partition("#")[0]).exists(), link


def _anchors(page: Path) -> set[str]:
    """What a link into a page may name: its headings, as forges make anchors of them."""
    heads = re.findall(r"^#+ (.+)$", page.read_text("utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", each.lower()).strip().replace(" ", "-") for each in heads}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_into_a_page_find_their_heading(page: Path) -> None:
    for link in _LINK.findall(page.read_text("utf-8")):
        where, _, anchor = link.partition("#")
        if anchor and "://" not in link:
            assert anchor in _anchors(page.parent / where if where else page), link


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_page_is_reached_from_the_first_one(page: Path) -> None:
    first = (ROOT / "README.md").read_text("utf-8")
    assert page.name == "README.md" or str(page.relative_to(ROOT)) in first


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_files_that_are_named_exist(page: Path) -> None:
    for name in re.findall(r"`((?:twisted_mesh|plugins|config|tests|docs|benchmarks)/[\w./-]+)`", page.read_text()):
        assert (ROOT / name).exists(), name


# --- docs/routing.md


def test_modules_that_the_page_about_the_architecture_names_exist() -> None:
    sources = [path.as_posix() for folder in ("twisted_mesh", "tests") for path in (ROOT / folder).rglob("*.py")]
    named = set(re.findall(r"`([\w/]+\.py)`", (ROOT / "docs/architecture.md").read_text("utf-8")))
    assert len(named) > 50
    assert [each for each in named if not any(path.endswith(f"/{each}") for path in sources)] == []


def test_the_routes_of_the_page_about_routing_can_be_loaded() -> None:
    shown = [each.text for each in blocks("docs/routing.md") if each.language == "yaml"]
    names = ("admin", "api", "reads", "shop", "shop-next")
    rest = "clusters:\n" + "".join(f"  {name}: {{endpoints: ['127.0.0.1:1']}}\n" for name in names)
    for each in shown:
        assert load_text(each + "listeners: {edge: {bind: '127.0.0.1:0', routes: shop}}\n" + rest).routes["shop"]
    assert len(shown) == 5


# --- docs/writing-a-filter.md

FILTERS = "docs/writing-a-filter.md"


@pytest.fixture
def written(tmp_path: Path) -> Path:
    assert write_files(FILTERS, tmp_path) == [
        "filters/twisted_mesh/filters/busy.py",
        "test_busy.py",
        "mesh.yaml",
        "filters/twisted_mesh/filters/patient.py",
        "test_patient.py",
        "filters/twisted_mesh/filters/frozen.py",
        "test_frozen.py",
        "filters/twisted_mesh/filters/shelf.py",
        "test_shelf.py",
    ]
    return tmp_path


def test_the_commands_of_the_page_about_filters(written: Path) -> None:
    commands = [each.text.strip() for each in blocks(FILTERS) if each.language == "sh"]
    run_here = [each for each in commands if "twistd" not in each]
    assert len(run_here) == 5
    for each in run_here:
        run(each, written)


def test_the_filter_of_the_page_in_a_mesh(
    written: Path, mesh: Callable[..., Mesh], http_upstream: Callable[..., HttpUpstream]
) -> None:
    upstream, port = http_upstream("web"), free_port()
    config = (written / "mesh.yaml").read_text()
    config = config.replace("9001", str(upstream.port)).replace("8080", str(port)).replace("most: 100", "most: 0")
    path = os.pathsep.join([environment()["PYTHONPATH"], str(written / "filters")])
    running = mesh(config, env={"PYTHONPATH": path})
    assert request(port, "/").status == 200
    labels: dict[str, Any] = {"filter": "busy", "mode": "shadow", "decision": "refuse"}
    until(lambda: running.metric("twisted_mesh_filter_decisions_total", **labels) == 1)
    running.config.write_text(config.replace(", mode: shadow", ""))
    until(lambda: request(port, "/").status == 429)


# --- docs/operations.md

OPERATIONS = (ROOT / "docs/operations.md").read_text("utf-8")


def _table(heading: str) -> str:
    """The first table behind a heading."""
    behind = OPERATIONS.partition(f"\n{heading}\n")[2]
    assert behind, heading
    return "\n".join(line for line in behind.partition("\n#")[0].splitlines() if line.startswith("|"))


def _in_first_column(heading: str) -> set[str]:
    return set(re.findall(r"`([^`]+)`", "\n".join(line.split("|")[1] for line in _table(heading).splitlines())))


def test_every_response_flag_is_explained() -> None:
    assert _in_first_column("### Response flags") == set(FLAGS.values())


def test_every_metric_is_listed_with_its_labels() -> None:
    registry = Registry()
    Families(registry)
    listed = {}
    for line in _table("## Metrics").splitlines():
        _, names, labels, _ = line.split("|")
        for name in re.findall(r"`([^`]+)`", names):
            listed[name] = tuple(labels.replace(",", " ").split())
    assert listed == {each.name: each.label_names for each in registry.families()}


def test_every_field_of_the_access_log_is_listed() -> None:
    listed = {each.partition("(")[0] for each in _in_first_column("## The access log")}
    assert listed == {*FIELDS, *ARGUMENT_FIELDS}


def test_every_page_of_the_admin_is_listed() -> None:
    pages = Pages(None, Levels(), None, None)  # type: ignore[arg-type]
    assert _in_first_column("## The admin") == set(pages._pages)


def test_every_option_of_the_command_is_listed() -> None:
    options = {f"--{each[0]}" for each in Options.optParameters} - {"--redis"}
    listed = " ".join(_in_first_column("## Starting"))
    assert set(re.findall(r"--\w+", listed)) == options


# --- README.md


def test_the_first_configuration_and_the_first_filter(
    tmp_path: Path, mesh: Callable[..., Mesh], http_upstream: Callable[..., HttpUpstream]
) -> None:
    assert write_files("README.md", tmp_path)[:2] == ["mesh.yaml", "filters/twisted_mesh/filters/hello.py"]
    [check] = [each.text.strip() for each in blocks("README.md") if each.text.startswith("meshctl check")]
    run(check, tmp_path)
    port, upstreams = free_port(), [http_upstream(name) for name in ("one", "two", "three")]
    config = (tmp_path / "mesh.yaml").read_text().replace("8080", str(port)).replace("health_check", "# health_check")
    for number, upstream in enumerate(upstreams):
        config = config.replace(str(9001 + number), str(upstream.port))
    config = config.replace("    routes:", '    filters: [hello: {greeting: "good day"}]\n    routes:', 1)
    path = os.pathsep.join([environment()["PYTHONPATH"], str(tmp_path / "filters")])
    mesh(config, env={"PYTHONPATH": path})
    assert request(port, "/api/x").status == 403
    answer = request(port, "/api/x", headers={"x-name": "you"})
    assert (answer.status, answer.header("x-hello")) == (200, "good day you")
    assert request(port, "/", headers={"x-name": "you"}).text == "nothing here\n"


def test_what_it_shows_of_a_mesh(
    tmp_path: Path, redis_server: Server, mesh: Callable[..., Mesh], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two applications as the page starts them, and the change that it makes."""
    write_files("README.md", tmp_path)
    monkeypatch.setenv("MESHCTL_REDIS", redis_server.url)
    commands = [line for each in blocks("README.md") for line in each.text.splitlines() if line.startswith("meshctl ")]
    start, apply, rollback = (
        next(each for each in commands if f"meshctl {name}" in each) for name in ("run", "apply", "roll")
    )
    config = (tmp_path / "application.yaml").read_text().replace("redis://127.0.0.1:6379", redis_server.url)
    running = []
    try:
        for version in ("v1", "v2"):
            app, inbound = free_ports(2)
            text = (
                config.replace("9001", str(app))
                .replace("8001", str(inbound))
                .replace("version: v1", f"version: {version}")
            )
            where = tmp_path / version
            where.mkdir()
            more = f"admin: off\nstate: {where}\n"
            text = more + text.replace("id: web-1", f"id: {version}\n  address: 127.0.0.1")
            (where / "application.yaml").write_text(text)
            words = start.replace("meshctl", f"{sys.executable} -m twisted_mesh.cli.main")
            words = words.replace(
                "python -m my_application",
                f"{sys.executable} -m twisted_mesh.server.demo_services http {version} {app}",
            )
            running.append(subprocess.Popen(words.split(), cwd=where, env=environment(), stdin=subprocess.DEVNULL))
            until(lambda version=version: f'"{version}"' in run("meshctl endpoints web -o json || true", tmp_path))
        port = free_port()
        edge = {
            "redis": redis_server.url,
            "node": {"id": "edge"},
            "listeners": {"edge": {"protocol": "http", "bind": f"127.0.0.1:{port}", "routes": "shop"}},
            "routes": {"shop": [{"reply": {"body": "nothing yet"}}]},
        }
        (tmp_path / "edge").mkdir()
        mesh(json.dumps(edge), directory=tmp_path / "edge")
        assert request(port).text == "nothing yet"
        assert "3 sidecars acknowledged" in run(apply, tmp_path)
        assert {json.loads(request(port).text)["service"] for _ in range(40)} == {"v1", "v2"}
        run(rollback, tmp_path)
        assert request(port).text == "nothing yet"
    finally:
        for each in running:
            each.terminate()
        assert [each.wait(30) for each in running] == [143, 143]


# --- docs/filters.md


def test_the_table_says_for_which_protocol_each_filter_is() -> None:
    names = [each.stem for each in (ROOT / "twisted_mesh/filters").glob("*.py") if "\nplugin = " in each.read_text()]
    found: dict[str, list[bool]] = {}
    for line in (ROOT / "docs/filters.md").read_text("utf-8").splitlines():
        cells = [each.strip() for each in line.split("|")[1:-1]]
        if len(cells) == 5 and cells[0].startswith("`"):
            for name in re.findall(r"`(\w+)`", cells[0]):
                found[name] = [each != "-" for each in cells[1:4]]
    expected = {each: [name in find_filter(each).protocols for name in ("http", "tcp", "redis")] for each in names}
    assert found == expected
