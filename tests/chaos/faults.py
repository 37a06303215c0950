"""What happens to a sidecar under load: its servers are killed, paused and started again, its configuration changes."""

from __future__ import annotations

import asyncio
import random
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Awaitable, Callable, Optional

from tests.chaos.settings import Ports, config, on_the_bus
from tests.redis_groups import Cluster
from tests.servers import Server
from tests.support import ROOT, Mesh, connect, environment, program, until

# What was answered must be there after a kill; the operating system goes on, so nothing need be flushed.
KEEPS = ("--appendonly", "yes", "--appendfsync", "no")


class Web:
    """Servers of HTTP that fail by themselves (`tests.chaos.backend`), each a process."""

    def __init__(self, ports: list[int], seed: int) -> None:
        self.ports = ports
        self._dice = random.Random(seed)
        self._processes = [self._start(each) for each in ports]

    def _start(self, port: int) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", "tests.chaos.backend", str(port), str(self._dice.randrange(1 << 30))]
        return subprocess.Popen(command, cwd=ROOT, env=environment(), stderr=subprocess.DEVNULL)

    def ready(self) -> None:
        """Wait until each takes connections."""
        for each in self.ports:
            until(lambda port=each: _open(port), f"a server at {each}")  # type: ignore[misc]  # its default is the port

    def kill(self, at: int) -> None:
        self._processes[at].kill()
        self._processes[at].wait()

    def start(self, at: int) -> None:
        self._processes[at] = self._start(self.ports[at])

    def signal(self, at: int, number: int) -> None:
        self._processes[at].send_signal(number)

    def moods(self, on: bool) -> None:
        """Have them fail by themselves, or not."""
        for each in self._processes:
            each.send_signal(signal.SIGUSR2 if on else signal.SIGUSR1)

    def stop(self) -> None:
        for each in self._processes:
            each.kill()
            each.wait()


class Redises:
    """Servers of Redis that keep what they were told when they are killed."""

    def __init__(self, servers: list[Server], cluster: Optional[Cluster] = None) -> None:
        self.servers = servers
        self._cluster = cluster

    @classmethod
    def plain(cls, count: int) -> Redises:
        return cls([Server(*KEEPS).start() for _ in range(count)])

    @classmethod
    def cluster(cls) -> Redises:
        made = Cluster()
        for each in made.masters:
            each._options += KEEPS
            each("CONFIG", "SET", "appendfsync", "no", "appendonly", "yes")
            until(lambda each=each: b"aof_rewrite_in_progress:0" in each("INFO", "persistence"))  # type: ignore[misc]
        return cls(made.masters, made)

    @property
    def ports(self) -> list[int]:
        return [each.port for each in self.servers]

    def ready(self) -> None:
        """Wait until each answers, and a cluster is one."""
        for each in self.servers:
            until(lambda each=each: each("PING") == b"PONG", f"the server at {each.address}")  # type: ignore[misc]
            if self._cluster is not None:
                until(lambda each=each: b"cluster_state:ok" in each("CLUSTER", "INFO"), "a cluster that is one")  # type: ignore[misc]

    def kill(self, at: int) -> None:
        self.servers[at].kill()

    def start(self, at: int) -> None:
        self.servers[at].start(wait=False)

    def signal(self, at: int, number: int) -> None:
        self.servers[at].signal(number)

    def stop(self) -> None:
        for each in self.servers:
            each.stop()


class World:
    """All servers, and the sidecar's configuration.

    `did` counts what was done, `wrong` is what must not have come of it.
    """

    def __init__(self, directory: Path, listeners: dict[str, int], web: list[int], slots: bool, seed: int) -> None:
        self._directory = directory
        self._dice = random.Random(seed)
        self.did: Counter[str] = Counter()
        self.wrong: list[str] = []
        self._turn = 0
        self.web = Web(web, seed)
        self.redis: dict[str, Redises] = {}
        try:
            self.bus = Redises.plain(1)
            self.redis = {"one": Redises.plain(1), "many": Redises.plain(3)}
            if slots:
                self.redis["slots"] = Redises.cluster()
            self.web.ready()
        except BaseException:
            self.stop()
            raise
        named = {name: each.ports for name, each in self.redis.items()}
        self.ports = Ports(listeners, web, named, self.bus.servers[0].url)

    def config(self) -> str:
        return config(self._directory, self.ports, self._turn)

    def stop(self) -> None:
        """End all servers."""
        for each in [self.web, *self.redis.values(), *([self.bus] if hasattr(self, "bus") else [])]:
            each.stop()

    # --- faults

    async def torment(self, ends: float, mesh: Mesh) -> None:
        """Do all sorts of things until the time of the loop is that."""
        self.web.moods(True)
        redis = [each for each in self.redis.values() for _ in each.servers]
        await asyncio.gather(
            self._often(ends, 0.3, 1.5, lambda: self._harm("a server of HTTP", self.web, len(self.web.ports))),
            self._often(ends, 0.3, 2.0, lambda: self._harm_redis(self._dice.choice(redis))),
            self._often(ends, 1.0, 4.0, lambda: self._harm("the bus", self.bus, 1)),
            self._often(ends, 0.5, 2.0, lambda: self._reload(mesh)),
            self._often(ends, 0.5, 3.0, self._apply),
        )

    async def settle(self, mesh: Mesh) -> None:
        """Have everything be well, and as it was in the beginning."""
        self.web.moods(False)
        for each in [self.bus, *self.redis.values()]:
            await asyncio.to_thread(each.ready)
        self._turn = 0
        self._write(mesh)
        await self._apply()

    async def _often(self, ends: float, least: float, most: float, act: Callable[[], Awaitable[None]]) -> None:
        loop = asyncio.get_running_loop()
        while loop.time() + least < ends:
            await asyncio.sleep(min(self._dice.uniform(least, most), ends - loop.time()))
            await act()

    async def _harm_redis(self, servers: Redises) -> None:
        await self._harm("a server of Redis", servers, len(servers.servers))

    async def _harm(self, name: str, servers: Web | Redises, count: int) -> None:
        at, what = self._dice.randrange(count), self._dice.choice(("paused", "killed"))
        self.did[f"{name} {what}"] += 1
        if what == "paused":
            servers.signal(at, signal.SIGSTOP)
            await asyncio.sleep(self._dice.uniform(0.2, 3.5))
            servers.signal(at, signal.SIGCONT)
        else:
            servers.kill(at)
            await asyncio.sleep(self._dice.uniform(0.0, 1.0))
            servers.start(at)

    async def _reload(self, mesh: Mesh) -> None:
        self.did["reloaded"] += 1
        if self._dice.random() < 0.7:
            self._turn += 1
        self._write(mesh)

    def _write(self, mesh: Mesh) -> None:
        """Write the configuration as a whole, and have it read."""
        path = mesh.config.with_suffix(".new")
        path.write_text(self.config())
        path.replace(mesh.config)
        mesh.signal(signal.SIGHUP)

    async def _apply(self) -> None:
        """Change what the bus says, which fails while it is away."""
        path = self._directory / "bus.yaml"
        path.write_text(on_the_bus(self._turn))
        process = await asyncio.create_subprocess_exec(
            program("meshctl"), "apply", "-f", str(path), "--redis", self.ports.bus,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=environment(),
        )  # fmt: skip
        said, _ = await process.communicate()
        self.did["applied" if process.returncode == 0 else "not applied"] += 1
        if b"Traceback" in said or (process.returncode and not said):
            self.wrong.append(f"meshctl apply ended with {process.returncode}: {said.decode()!r}")


def _open(port: int) -> bool:
    try:
        connect(port).close()
    except OSError:
        return False
    return True
