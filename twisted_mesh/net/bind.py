"""Listening sockets, and the files of those that are unix sockets."""

from __future__ import annotations

import errno
import os
import socket
import stat
from typing import TYPE_CHECKING, Any, Iterable, Optional, Sequence

from twisted.logger import Logger

if TYPE_CHECKING:
    from twisted_mesh.model import Address

log = Logger()

# Which file it is: device and inode.
Inode = tuple[int, int]

_WHY = {
    errno.EADDRINUSE: "the address is in use",
    errno.EACCES: "permission denied",
    errno.EPERM: "permission denied",
    errno.EADDRNOTAVAIL: "this machine has no such address",
    errno.ENOENT: "the directory does not exist",
    errno.EAFNOSUPPORT: "this machine does not support such addresses",
}


def shown(name: Any) -> str:
    """Return what a TCP socket calls its address, as a configuration would write it."""
    return f"{name[0]}:{name[1]}" if len(name) == 2 else f"[{name[0]}]:{name[1]}"


def listen_on(
    bind: Address, backlog: int, mode: Optional[int] = None, beside: Iterable[socket.socket] = ()
) -> socket.socket:
    """Return a non-blocking socket that listens.

    :param mode: permissions of a unix socket.  A file that a dead process left there is replaced.
    :param beside: sockets of our own that listen on the same port of another address, one of both being a wildcard;
        they may be open until they are closed as no longer wanted, and share the port until then (Linux).
    :raises OSError: it cannot; ``strerror`` is one line that says what and why.
    """
    try:
        return _unix(bind.path, backlog, mode) if bind.path else _tcp(bind, backlog, list(beside))
    except OSError as error:
        raise explained(error, bind) from error


def inode_of(path: str) -> Inode:
    """Return which file stands at `path` now."""
    status = os.stat(path)
    return status.st_dev, status.st_ino


def remove_file(path: str, inode: Inode) -> None:
    """Remove the file of a unix socket, unless another process has put its own there."""
    try:
        if inode_of(path) == inode:
            os.unlink(path)
    except FileNotFoundError:
        return
    except OSError as error:
        log.warn("{path} stays behind: {why}", path=path, why=error.strerror)


def explained(error: OSError, bind: Address) -> OSError:
    """Return the error with a line for people."""
    why = _WHY.get(error.errno or 0, error.strerror or str(error))
    if error.errno in (errno.EACCES, errno.EPERM) and not bind.path and 0 < bind.port < 1024:
        why += " (ports below 1024 are for root, or for CAP_NET_BIND_SERVICE)"
    return OSError(error.errno, f"cannot listen on {bind}: {why}")


def _tcp(bind: Address, backlog: int, beside: Sequence[socket.socket]) -> socket.socket:
    found = socket.getaddrinfo(bind.host, bind.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    family, _, _, _, name = found[0]
    # The protocol is said, as asyncio's transports switch Nagle's delay off only for sockets that say so.
    sock = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        # Restarting must not wait for the connections of the process before to leave TIME_WAIT.
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            # [::] means IPv6, whatever the machine's default is; 0.0.0.0 can then be bound beside it.
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        return _take(sock, name, backlog, [each for each in beside if each.getsockname()[1] == name[1]])
    except OSError:
        sock.close()
        raise


def _take(sock: socket.socket, name: Any, backlog: int, beside: Sequence[socket.socket]) -> socket.socket:
    try:
        sock.bind(name)
        return _listening(sock, backlog)
    except OSError as error:
        same = any(each.getsockname()[0] == name[0] for each in beside)
        if error.errno != errno.EADDRINUSE or not beside or same or not hasattr(socket, "SO_REUSEPORT"):
            raise
    # Sharing is allowed only while this socket begins to listen, which looks at the address once more, so that nobody
    # else's process can join.
    sharing = [sock, *beside]
    try:
        for each in sharing:
            each.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        sock.bind(name)
        return _listening(sock, backlog)
    finally:
        for each in sharing:
            each.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 0)


def _unix(path: str, backlog: int, mode: Optional[int]) -> socket.socket:
    _remove_stale(path)
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    bound = False
    try:
        sock.bind(path)
        bound = True
        # Before listen(), so that nobody connects with the permissions that the umask gave.
        if mode is not None:
            os.chmod(path, mode)
        return _listening(sock, backlog)
    except OSError:
        sock.close()
        if bound:
            os.unlink(path)
        raise


def _listening(sock: socket.socket, backlog: int) -> socket.socket:
    sock.listen(backlog)
    sock.setblocking(False)
    return sock


def _remove_stale(path: str) -> None:
    """Remove the socket file that a process left which is gone.

    :raises OSError: somebody listens there (EADDRINUSE), or it is something else than a socket (EEXIST).
    """
    try:
        status = os.lstat(path)
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(status.st_mode):
        raise FileExistsError(errno.EEXIST, "there is a file of this name that is no socket")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.setblocking(False)
        try:
            probe.connect(path)
        except ConnectionRefusedError:
            os.unlink(path)
            return
        except FileNotFoundError:
            return
        except BlockingIOError:
            # Its backlog is full, so it has one.
            pass
    raise OSError(errno.EADDRINUSE, os.strerror(errno.EADDRINUSE))
