"""The reactor that is installed, and what is said when another one is there already."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from tests.support import environment, program


def run(code: str, **env: str) -> str:
    """Run Python code in a process of its own and return what it prints."""
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment(**env), capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_it_is_twisteds_asyncio_reactor_with_uvloop_where_there_is_uvloop() -> None:
    printed = run(
        "from twisted_mesh.server.reactor import install_reactor\n"
        "mine = install_reactor()\n"
        "from twisted.internet import reactor\n"
        "assert reactor is mine and install_reactor() is mine\n"
        "from twisted.internet.asyncioreactor import AsyncioSelectorReactor\n"
        "assert isinstance(mine, AsyncioSelectorReactor)\n"
        "from twisted_mesh.net.loop import loop_of\n"
        "print(type(loop_of(mine)).__module__)"
    )
    try:
        import uvloop  # noqa: F401
    except ImportError:
        assert printed.startswith("asyncio")
    else:
        assert printed.startswith("uvloop")


def test_plain_asyncio_serves_where_there_is_no_uvloop() -> None:
    printed = run(
        "import sys\n"
        "sys.modules['uvloop'] = None\n"
        "from twisted_mesh.server.reactor import install_reactor\n"
        "mine = install_reactor()\n"
        "mine.callLater(0, mine.stop)\n"
        "mine.run()\n"
        "print(type(mine._asyncioEventloop).__module__)"
    )
    assert printed.startswith("asyncio")


def test_setting_the_clock_of_the_machine_back_holds_up_no_timer() -> None:
    """Twisted's own reactors measure with time.time; ours must not."""
    printed = run(
        "import time\n"
        "real = time.time\n"
        "off = 0\n"
        "time.time = lambda: real() + off\n"
        "from twisted_mesh.server.reactor import install_reactor\n"
        "mine = install_reactor()\n"
        "def set_back():\n"
        "    global off\n"
        "    off = -3600\n"
        "mine.callLater(0.01, set_back)\n"
        "mine.callLater(0.05, print, 'on time')\n"
        "mine.callLater(0.06, mine.stop)\n"
        "mine.run()"
    )
    assert printed == "on time\n"


def test_another_reactor_is_named_with_whoever_imported_it(tmp_path: Path) -> None:
    (tmp_path / "meddler.py").write_text("from twisted.internet import reactor\n")
    printed = run(
        "import meddler\n"
        "from twisted_mesh.server.reactor import ReactorTaken, install_reactor\n"
        "try:\n"
        "    install_reactor()\n"
        "except ReactorTaken as error:\n"
        "    print(error)",
        PYTHONPATH=os.pathsep.join([environment()["PYTHONPATH"], str(tmp_path)]),
    )
    assert "Reactor" in printed
    assert "imported by meddler" in printed


def test_twistd_with_a_reactor_of_its_own_is_told_to_leave_it_out(tmp_path: Path) -> None:
    done = subprocess.run(
        [program("twistd"), "-n", "--pidfile=", "--reactor=poll", "mesh"],
        cwd=tmp_path,
        env=environment(),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 2
    assert done.stderr == (
        "mesh: another reactor is installed, PollReactor, and the mesh needs its own: leave out --reactor\n"
    )
