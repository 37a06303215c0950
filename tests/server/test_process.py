"""`twistd mesh` and `python -m twisted_mesh` as processes: how they start, and how they refuse to."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import sysconfig
import tempfile
from pathlib import Path
from typing import Any, Optional, Sequence

import pytest

from tests.support import PATIENCE, RawClient, environment, free_port, program, request, until


def config(port: int, upstream: str, **more: str) -> str:
    """A listener in front of one upstream."""
    lines = [f"{key}: {value}" for key, value in {"drain": "{wait: 0}", **more}.items()]
    return "\n".join(
        [
            *lines,
            "listeners:",
            f"  edge: {{bind: '127.0.0.1:{port}', routes: [{{to: web}}]}}",
            f"clusters: {{web: {{endpoints: ['{upstream}']}}}}",
        ]
    )


def run(arguments: Sequence[str], directory: Path, command: Optional[Sequence[str]] = None) -> Any:
    """Run ``twistd ARGUMENTS`` to its end."""
    return subprocess.run(
        [*(command or [program("twistd")]), *arguments],
        cwd=directory,
        env=environment(),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=PATIENCE * 2,
        check=False,
    )


def test_it_serves_and_ends_with_status_0(mesh: Any, http_upstream: Any, tmp_path: Path) -> None:
    port, upstream = free_port(), http_upstream("a")
    running = mesh(config(port, upstream.address), twistd=["--pidfile", "mesh.pid"])
    assert request(port, "/x").text == "a /x"
    assert (tmp_path / "mesh.pid").read_text() == str(running.pid)
    running.signal(signal.SIGTERM)
    assert running.wait() == 0
    assert not (tmp_path / "mesh.pid").exists()


@pytest.mark.parametrize("python", [False, True], ids=["twistd", "python -m"])
def test_both_programs_take_the_same_options(python: bool, mesh: Any, http_upstream: Any, tmp_path: Path) -> None:
    port, upstream = free_port(), http_upstream("a")
    command = [sys.executable, "-m", "twisted_mesh"] if python else None
    arguments = ["--node", "web-7", "--service", "shop", "--zone", "b"]
    running = mesh(config(port, upstream.address), command=command, arguments=arguments)
    assert request(port).text == "a /"
    assert running.metric("twisted_mesh_info", node="web-7", service="shop", zone="b") == 1
    running.signal(signal.SIGTERM)
    assert running.wait() == 0


def test_the_configuration_is_mesh_yaml_unless_named(http_upstream: Any, tmp_path: Path) -> None:
    port, upstream = free_port(), http_upstream("a")
    (tmp_path / "mesh.yaml").write_text(config(port, upstream.address, admin="off"))
    process = subprocess.Popen(
        [program("twistd"), "-n", "--pidfile=", "mesh"],
        cwd=tmp_path,
        env=environment(),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        assert until(lambda: request(port).text) == "a /"
        process.send_signal(signal.SIGTERM)
        assert process.wait(PATIENCE) == 0
    finally:
        process.kill()
        process.wait(PATIENCE)


def test_a_directory_is_merged(mesh: Any, http_upstream: Any, tmp_path: Path) -> None:
    port, upstream = free_port(), http_upstream("a")
    directory = tmp_path / "mesh.d"
    directory.mkdir()
    (directory / "edge.yaml").write_text(f"listeners: {{edge: {{bind: '127.0.0.1:{port}', routes: [{{to: web}}]}}}}")
    (directory / "web.yaml").write_text(f"clusters: {{web: {{endpoints: ['{upstream.address}']}}}}")
    mesh(directory)
    assert request(port).text == "a /"


def test_the_environment_that_make_makes_is_enough(tmp_path: Path) -> None:
    """Nothing needs to be set, and it does not matter where one stands."""
    if not Path(sysconfig.get_path("purelib"), "twisted_mesh.pth").exists():
        pytest.skip("this environment was not made by make")
    env = {key: value for key, value in os.environ.items() if not key.startswith("PYTHON")}
    for command in ([program("twistd"), "mesh", "--help"], [program("meshctl"), "--version"]):
        done = subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == 0, done.stderr
    config_that_is_wrong = [program("twistd"), "-n", "mesh", "--config", "no.yaml"]
    done = subprocess.run(config_that_is_wrong, cwd=tmp_path, env=env, capture_output=True, text=True, check=False)
    assert (done.returncode, len(done.stderr.splitlines())) == (1, 1), done.stderr


def test_plain_asyncio_does_where_there_is_no_uvloop(mesh: Any, http_upstream: Any, tmp_path: Path) -> None:
    """It serves, reloads at SIGHUP and drains at SIGTERM as ever."""
    (tmp_path / "sitecustomize.py").write_text("import sys\nsys.modules['uvloop'] = None\n")
    path = os.pathsep.join([environment()["PYTHONPATH"], str(tmp_path)])
    port, upstream, other = free_port(), http_upstream("a"), http_upstream("b")
    running = mesh(config(port, upstream.address), env={"PYTHONPATH": path})
    assert request(port).text == "a /"
    running.config.write_text(config(port, other.address))
    running.signal(signal.SIGHUP)
    until(lambda: request(port).text == "b /")
    running.signal(signal.SIGTERM)
    assert running.wait() == 0


# --- as a daemon


def gone(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return False


def test_as_a_daemon(http_upstream: Any, tmp_path: Path) -> None:
    """It has a pid file and a log file, serves, reloads, and takes the pid file with it."""
    port, admin, upstream, other = free_port(), free_port(), http_upstream("a"), http_upstream("b")
    (tmp_path / "mesh.yaml").write_text(config(port, upstream.address))
    names = ["--pidfile", str(tmp_path / "mesh.pid"), "--logfile", str(tmp_path / "mesh.log")]
    done = run([*names, "mesh", "--config", "mesh.yaml", "--admin", f"127.0.0.1:{admin}"], tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    pid = int(until((tmp_path / "mesh.pid").read_text))
    try:
        until(lambda: request(admin, "/ready").status == 200)
        assert request(port).text == "a /"
        (tmp_path / "mesh.yaml").write_text(config(port, other.address))
        os.kill(pid, signal.SIGHUP)
        until(lambda: request(port).text == "b /")
        os.kill(pid, signal.SIGTERM)
        until(lambda: gone(pid))
    finally:
        if not gone(pid):
            os.kill(pid, signal.SIGKILL)
    assert not (tmp_path / "mesh.pid").exists()
    log = (tmp_path / "mesh.log").read_text()
    assert "applied configuration 2" in log
    assert "Traceback" not in log


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
def test_as_somebody_else(mesh: Any) -> None:
    """With --uid and --gid: its unix sockets are theirs, so that they can be used, and are gone at the end."""
    # What pytest's own directories are in is for nobody else.
    directory = Path(tempfile.mkdtemp())
    directory.chmod(0o777)
    edge, admin, log = directory / "edge.sock", directory / "admin.sock", directory / "access.log"
    text = f"listeners: {{edge: {{bind: 'unix:{edge}', routes: [{{reply: {{body: hello}}}}]}}}}"
    text += f"\naccess_log: {{path: {log}}}\ndrain: {{wait: 0}}"
    nobody = ["--uid", "65534", "--gid", "65534"]
    running = mesh(text, twistd=nobody, arguments=["--admin", f"unix:{admin}"])
    assert Path(f"/proc/{running.pid}/status").read_text().split("Uid:")[1].split()[:3] == ["65534"] * 3
    assert [each.stat().st_uid for each in (edge, admin)] == [65534, 65534]
    assert request(f"unix:{edge}").text == "hello"
    until(log.exists)
    assert log.stat().st_uid == 65534
    running.signal(signal.SIGTERM)
    assert running.wait() == 0
    assert os.listdir(directory) == ["access.log"]
    shutil.rmtree(directory)


# --- what is wrong with the configuration

WRONG = """\
admin: off
listeners:
  edge:
    bind: 127.0.0.1:{port}
    routes:
      - {{to: wab, timeout: "2 sec"}}
      - {{to: web, retyr: off}}
clusters:
  web: {{endpoints: [localhost]}}
"""


@pytest.mark.parametrize("foreground", [True, False], ids=["-n", "daemon"])
def test_every_problem_is_a_line_on_stderr(foreground: bool, tmp_path: Path) -> None:
    (tmp_path / "mesh.yaml").write_text(WRONG.format(port=free_port()))
    options = ["-n"] if foreground else ["--pidfile", "mesh.pid", "--logfile", "mesh.log"]
    done = run([*options, "mesh", "--config", "mesh.yaml"], tmp_path)
    assert done.returncode == 1
    assert "Traceback" not in done.stdout + done.stderr
    lines = done.stderr.splitlines()
    for place, word in [(":6:", "2 sec"), (":7:", "retyr"), (":9:", "localhost")]:
        assert any("mesh.yaml" + place in line and word in line for line in lines), done.stderr
    assert all(line.startswith(str(tmp_path)) or line.startswith("mesh.yaml:") for line in lines), done.stderr
    assert not (tmp_path / "mesh.pid").exists()


def test_no_configuration_at_all(tmp_path: Path) -> None:
    done = run(["-n", "mesh", "--config", "no.yaml"], tmp_path)
    assert done.returncode == 1
    assert "no.yaml" in done.stderr
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize("foreground", [True, False], ids=["-n", "daemon"])
def test_an_address_that_is_taken(foreground: bool, tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        (tmp_path / "mesh.yaml").write_text(config(port, "127.0.0.1:1", admin="off"))
        options = ["-n"] if foreground else ["--pidfile", "mesh.pid", "--logfile", "mesh.log"]
        done = run([*options, "mesh"], tmp_path)
    assert done.returncode == 1
    assert done.stderr == f"listeners.edge.bind[0]: cannot listen on 127.0.0.1:{port}: the address is in use\n"


def test_the_admin_of_the_command_line_takes_the_place_of_the_other(mesh: Any, tmp_path: Path) -> None:
    """At the start and at a change: a listener may have the file's address, and may not have this one."""
    port, other, admin = free_port(), free_port(), free_port()
    text = (
        "admin: 127.0.0.1:{port}\nlisteners: {{edge: {{bind: '127.0.0.1:{bind}', routes: [{{reply: {{body: hi}}}}]}}}}"
    )
    running = mesh(text.format(port=port, bind=port), arguments=["--admin", f"127.0.0.1:{admin}"])
    assert request(port).text == "hi"
    running.config.write_text(text.format(port=port, bind=admin))
    running.signal(signal.SIGHUP)
    until(lambda: f"127.0.0.1:{admin} is taken by the admin (127.0.0.1:{admin})" in running.output())
    running.config.write_text(text.format(port=other, bind=other))
    running.signal(signal.SIGHUP)
    until(lambda: request(other).text == "hi")


def test_an_admin_address_that_is_taken(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        (tmp_path / "mesh.yaml").write_text(config(free_port(), "127.0.0.1:1", admin=f"127.0.0.1:{port}"))
        done = run(["-n", "--pidfile=", "mesh"], tmp_path)
    assert done.returncode == 1
    assert done.stderr == f"admin: cannot listen on 127.0.0.1:{port}: the address is in use\n"


# --- what is wrong with the command line


@pytest.mark.parametrize("command", [None, [sys.executable, "-m", "twisted_mesh"]], ids=["twistd", "python -m"])
@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--confg", "x"], "option --confg not recognized"),
        (["--admin", "9901"], "--admin: expected an address with a port"),
        (["x.yaml"], "unexpected argument 'x.yaml'"),
        (["--config"], "requires argument"),
    ],
)
def test_a_mistake_is_one_line(arguments: list[str], says: str, command: Any, tmp_path: Path) -> None:
    done = run(arguments if command else ["-n", "mesh", *arguments], tmp_path, command)
    assert done.returncode == 2
    assert done.stdout == ""
    [line] = done.stderr.splitlines()
    assert line.startswith("mesh: ")
    assert says in line


def test_help_names_every_option(tmp_path: Path) -> None:
    done = run(["mesh", "--help"], tmp_path)
    assert done.returncode == 0
    for option in ("--config", "--admin", "--node", "--service", "--zone", "--redis"):
        assert option in done.stdout


# --- while it runs


def test_not_ready_until_a_cluster_that_asks_for_it_has_an_endpoint(mesh: Any, tmp_path: Path) -> None:
    port, upstream = free_port(), free_port()
    text = f"""
listeners: {{edge: {{bind: '127.0.0.1:{port}', routes: [{{to: web}}]}}}}
clusters:
  web:
    endpoints: ['127.0.0.1:{upstream}']
    require_ready: true
    panic_threshold: 0
    health_check: {{tcp: true, interval: 50ms, jitter: 0, unhealthy: 1}}
"""
    running = mesh(text, wait=False)
    until(lambda: running.get("/live").status == 200)
    answer = until(lambda: (a := running.get("/ready")).status == 503 and a)
    assert "web" in answer.text
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", upstream))
        listening.listen()
        until(running.ready)


def test_a_filter_that_breaks_costs_its_call_a_500(mesh: Any, http_upstream: Any, tmp_path: Path) -> None:
    """And one log line with the traceback, and a count; nothing else."""
    filters = tmp_path / "own" / "twisted_mesh" / "filters"
    filters.mkdir(parents=True)
    (filters / "brittle.py").write_text(BRITTLE)
    port, upstream = free_port(), http_upstream("a")
    text = config(port, upstream.address).replace("routes:", "filters: [brittle], routes:")
    path = os.pathsep.join([environment()["PYTHONPATH"], str(tmp_path / "own")])
    running = mesh(text, env={"PYTHONPATH": path})
    with RawClient(port) as client:
        for path, status in [("/fine", 200), ("/break", 500), ("/fine", 200)]:
            client.send(f"GET {path} HTTP/1.1\r\nHost: a\r\n\r\n".encode())
            assert client.read_answer().status == status
    assert [each.path for each in upstream.seen] == ["/fine", "/fine"]
    assert running.output().count("ZeroDivisionError: oops") == 1
    assert running.metric("twisted_mesh_filter_errors_total", filter="brittle") == 1


BRITTLE = """\
from dataclasses import dataclass
from zope.interface import implementer
from twisted_mesh.interfaces import IFilterPlugin, IPlugin

@dataclass(frozen=True)
class Settings:
    pass

async def brittle(call, proceed):
    if call.resource == "/break":
        raise ZeroDivisionError("oops")
    return await proceed(call)

@implementer(IPlugin, IFilterPlugin)
class Plugin:
    name = "brittle"
    settings = Settings
    protocols = ("http",)

    def build(self, settings, env):
        return brittle

plugin = Plugin()
"""


def test_more_clients_than_allowed_are_closed_at_once(mesh: Any, http_upstream: Any) -> None:
    port, upstream = free_port(), http_upstream("a")
    running = mesh(config(port, upstream.address).replace("routes:", "max_connections: 2, routes:"))
    get = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
    with RawClient(port) as one, RawClient(port) as two:
        for client in (one, two):
            client.send(get)
            assert client.read_answer().status == 200
        with RawClient(port) as three:
            assert three.read_to_end() == b""
        assert running.metric("twisted_mesh_downstream_connections_refused_total", listener="edge") == 1
    until(lambda: request(port).status == 200)


def test_what_came_from_elsewhere_is_not_shown(mesh: Any, tmp_path: Path) -> None:
    """/config has a variable's name and a file's, not what they hold; what serves has the values."""
    port = free_port()
    (tmp_path / "body.txt").write_text("from a file\n")
    headers = "{x-plain: '${PLAIN}', x-more: 'a-${PLAIN}'}"
    reply = f"{{reply: {{body: 'file:body.txt', headers: {headers}}}}}"
    running = mesh(f"listeners: {{edge: {{bind: '127.0.0.1:{port}', routes: [{reply}]}}}}", env={"PLAIN": "hunter2"})
    answer = request(port)
    assert (answer.text, answer.header("x-plain"), answer.header("x-more")) == ("from a file", "hunter2", "a-hunter2")
    for form in ("json", "text"):
        shown = running.get(f"/config?format={form}").text
        assert "hunter2" not in shown and "from a file" not in shown
        assert "${PLAIN}" in shown and "a-${PLAIN}" in shown and "file:body.txt" in shown


def test_access_logs_are_reopened_at_sigusr1(mesh: Any, http_upstream: Any, tmp_path: Path) -> None:
    port, upstream, log = free_port(), http_upstream("a"), tmp_path / "access.log"
    running = mesh(config(port, upstream.address, access_log=f"{{path: {log}}}"))
    request(port, "/before")
    until(lambda: "/before" in log.read_text())
    log.rename(tmp_path / "access.log.1")
    running.signal(signal.SIGUSR1)
    until(log.exists)
    request(port, "/after")
    until(lambda: "/after" in log.read_text())
    assert "/after" not in (tmp_path / "access.log.1").read_text()


CLOCK = """\
import time
_real = time.time
_started = time.monotonic()
time.time = lambda: _real() - (86400 if time.monotonic() - _started > {after} else 0)
"""


def test_the_clock_of_the_machine_set_back(mesh: Any, http_upstream: Any, tmp_path: Path) -> None:
    """An idle connection is still closed in time, and routes still time out."""
    (tmp_path / "sitecustomize.py").write_text(CLOCK.format(after=2.0))
    port, upstream = free_port(), http_upstream("a")
    text = config(port, upstream.address).replace(
        "routes: [{to: web}]", "http: {timeouts: {idle: 3s}}, routes: [{to: web, timeout: 1s}]"
    )
    path = os.pathsep.join([environment()["PYTHONPATH"], str(tmp_path)])
    mesh(text, env={"PYTHONPATH": path})
    get = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
    with RawClient(port) as client:
        client.send(get)
        assert client.read_answer().status == 200
        assert client.read_to_end() == b""
        upstream.hold.clear()
    with RawClient(port) as client:
        client.send(get)
        assert client.read_answer().status == 504
