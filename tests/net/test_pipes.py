"""The pool of pipes."""

from __future__ import annotations

import errno
import fcntl
import os
from typing import Any

import pytest

from twisted_mesh.net import pipes as module
from twisted_mesh.net.pipes import Pipes

pytestmark = pytest.mark.skipif(not hasattr(os, "splice"), reason="pipes are for splice")


def open_descriptors() -> int:
    """How many this process has."""
    return len(os.listdir("/proc/self/fd"))


def test_borrowing() -> None:
    """Pipes are made up to the limit, lent again when they come back, and closed at the end."""
    before = open_descriptors()
    pool = Pipes(limit=2)
    one, two = pool.borrow(), pool.borrow()
    assert one is not None and two is not None
    assert pool.borrow() is None
    assert (pool.made, pool.refused, pool.idle) == (2, 1, [])
    assert fcntl.fcntl(one.writer, 1032) == module.SIZE
    pool.give_back(one)
    assert pool.borrow() is one
    pool.give_back(one)
    pool.close()
    assert pool.made == 1
    pool.give_back(two)
    assert (pool.made, open_descriptors()) == (0, before)
    assert pool.borrow() is None


def test_a_pipe_with_bytes_in_it_is_not_lent_again() -> None:
    """What a connection that was cut left behind never reaches another."""
    before = open_descriptors()
    pool = Pipes(limit=1)
    one = pool.borrow()
    assert one is not None
    os.write(one.writer, b"secret")
    one.held = 6
    assert "holds 6 bytes" in repr(one)
    pool.give_back(one)
    assert (pool.made, pool.idle, open_descriptors()) == (0, [], before)
    two = pool.borrow()
    assert two is not None
    with pytest.raises(BlockingIOError):
        os.read(two.reader, 1)
    pool.give_back(two)
    pool.close()
    assert open_descriptors() == before


def test_no_descriptors(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without descriptors there is no pipe; other trouble is not hidden."""
    number = errno.EMFILE

    def fail(flags: int) -> Any:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(module.os, "pipe2", fail)
    pool = Pipes()
    assert pool.borrow() is None and pool.limit == module.LIMIT
    number = errno.EINVAL
    with pytest.raises(OSError):
        pool.borrow()


def test_the_allowance_is_used_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """When the kernel only gives tiny pipes the pool stops asking."""
    before = open_descriptors()
    real = fcntl.fcntl

    def small(descriptor: int, command: int, argument: int = 0) -> int:
        if command == module._SET_SIZE:
            raise PermissionError(errno.EPERM, "Operation not permitted")
        return 8192 if command == module._GET_SIZE else real(descriptor, command, argument)

    pool = Pipes()
    one = pool.borrow()
    assert one is not None
    monkeypatch.setattr(module.fcntl, "fcntl", small)
    assert pool.borrow() is None
    assert (pool.made, pool.limit) == (1, 1)
    pool.give_back(one)
    assert pool.borrow() is one
    pool.give_back(one)
    pool.close()
    assert open_descriptors() == before


def test_a_pipe_that_cannot_grow_will_do(monkeypatch: pytest.MonkeyPatch) -> None:
    """The default size is used where the machine allows no more."""
    real = fcntl.fcntl

    def fixed(descriptor: int, command: int, argument: int = 0) -> int:
        if command == module._SET_SIZE:
            raise PermissionError(errno.EPERM, "Operation not permitted")
        return real(descriptor, command, argument)

    monkeypatch.setattr(module.fcntl, "fcntl", fixed)
    pool = Pipes()
    one = pool.borrow()
    assert one is not None
    assert "1 of 64" in repr(pool)
    pool.give_back(one)
    pool.close()
