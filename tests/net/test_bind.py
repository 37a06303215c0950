"""Listening sockets and their files; `test_accept` binds real ones."""

from __future__ import annotations

import errno
import os
import socket
from pathlib import Path
from typing import Any

import pytest

from twisted_mesh.model import Address
from twisted_mesh.net import bind as module
from twisted_mesh.net.bind import inode_of, listen_on, remove_file, shown


def test_shown() -> None:
    """An address looks as in a configuration."""
    assert shown(("127.0.0.1", 80)) == "127.0.0.1:80"
    assert shown(("::1", 80, 0, 0)) == "[::1]:80"


def test_names(monkeypatch: pytest.MonkeyPatch) -> None:
    """A bind may name its host; a name that is none is explained."""
    sock = listen_on(Address.parse("localhost:0"), 5)
    assert sock.getsockname()[0] in ("127.0.0.1", "::1")
    assert sock.gettimeout() == 0.0
    sock.close()

    def unknown(*arguments: Any, **options: Any) -> Any:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(module.socket, "getaddrinfo", unknown)
    with pytest.raises(OSError, match="cannot listen on nowhere:80: Name or service not known"):
        listen_on(Address.parse("nowhere:80"), 5)


def test_reasons() -> None:
    """Permission is explained where it is about the port's number."""
    refused = module.explained(PermissionError(errno.EACCES, "Permission denied"), Address.parse("0.0.0.0:80"))
    assert isinstance(refused, PermissionError)
    assert refused.strerror is not None and refused.strerror.startswith(
        "cannot listen on 0.0.0.0:80: permission denied"
    )
    assert "below 1024" in refused.strerror
    assert "below" not in str(module.explained(PermissionError(errno.EACCES, "x"), Address.parse("unix:/run/x")))
    assert str(module.explained(OSError("odd"), Address.parse("unix:/run/x"))).endswith(
        "cannot listen on unix:/run/x: odd"
    )


def test_a_file_is_not_left_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A unix socket that cannot have its mode goes away again."""
    path = tmp_path / "s"

    def refuse(path: str, mode: int) -> None:
        raise PermissionError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(module.os, "chmod", refuse)
    with pytest.raises(PermissionError, match="permission denied"):
        listen_on(Address.parse(f"unix:{path}"), 5, 0o600)
    assert not path.exists()


def test_remove_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only the file that was meant is removed; one that cannot be is left with a log line."""
    path = tmp_path / "s"
    sock = listen_on(Address.parse(f"unix:{path}"), 5)
    inode = inode_of(str(path))
    remove_file(str(path), (inode[0], inode[1] + 1))
    assert path.exists()

    def refuse(path: str) -> Any:
        raise PermissionError(errno.EPERM, "Operation not permitted")

    with monkeypatch.context() as patch:
        patch.setattr(module.os, "unlink", refuse)
        remove_file(str(path), inode)
    assert path.exists()
    remove_file(str(path), inode)
    assert not os.path.exists(path)
    remove_file(str(path), inode)
    sock.close()


def test_a_path_that_vanishes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A stale file that somebody else removes meanwhile is no trouble."""
    path = tmp_path / "s"
    dead = socket.socket(socket.AF_UNIX)
    dead.bind(str(path))
    dead.close()
    real = os.lstat

    def vanishing(name: str) -> os.stat_result:
        status = real(name)
        path.unlink()
        return status

    with monkeypatch.context() as patch:
        patch.setattr(module.os, "lstat", vanishing)
        sock = listen_on(Address.parse(f"unix:{path}"), 5)
    assert path.exists()
    sock.close()
