"""Sockets joined in pairs, their bytes moved by the kernel.

A `Relay` watches all its sockets with an epoll of its own, which the loop watches as one descriptor.  Each socket is
registered once, edge-triggered, for everything: a direction that has to wait costs no system call to stop and to start
again, and a reset is seen also on a socket that is not being read.
"""

from __future__ import annotations

import asyncio
import os
import select
import socket
from collections import deque
from typing import Callable

from twisted.logger import Logger

from twisted_mesh.net.pair import CLOSED, COPY, FAILED, Broken, Pair, Way
from twisted_mesh.net.pipes import LIMIT, Pipes
from twisted_mesh.net.sockets import reset_on_close

log = Logger()

# Whether this platform has what a Relay needs.
AVAILABLE = hasattr(select, "epoll")

# Bytes moved before it is the rest of the loop's turn: 2 MiB take 0.6 ms.
WAKE = 2 * 1024 * 1024
# Events taken at one wake.
EVENTS = 64

if AVAILABLE:
    _FAILED = select.EPOLLERR
    # A FIN or an error stands behind what there is to read.
    _BEHIND = select.EPOLLRDHUP | select.EPOLLHUP | select.EPOLLERR
    _READ = select.EPOLLIN | _BEHIND
    _WRITE = select.EPOLLOUT
    _ALL = select.EPOLLIN | select.EPOLLOUT | select.EPOLLRDHUP | select.EPOLLET
    # Errors only; the kernel always reports them.
    _ERRORS = select.EPOLLET

# One pool for the whole process: the kernel counts pipes by user.  Without splice there are none, and a relay copies.
POOL = Pipes(LIMIT if hasattr(os, "splice") else 0)


class Relay:
    """Joins sockets and moves their bytes, on one loop.

    :param now: monotonic seconds.

    All its calls are made on the loop's thread.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, now: Callable[[], float], pipes: Pipes = POOL) -> None:
        self._loop = loop
        self.pipes = pipes
        self.buffer = memoryview(bytearray(COPY))
        self._now = now
        self.now = now()
        self._epoll = select.epoll()
        self._ways: dict[int, Way] = {}
        self._watched: dict[int, Callable[[], None]] = {}
        self._queue: deque[Way] = deque()
        self._scheduled = False
        loop.add_reader(self._epoll.fileno(), self._wake)

    def __repr__(self) -> str:
        return f"<Relay of {len(self._ways) // 2} pairs, {self.pipes!r}>"

    def watch(self, sock: socket.socket, gone: Callable[[], None]) -> None:
        """Have `gone` called, once, if the peer of a socket that nobody reads resets it.

        Its FIN is no such thing: a client may half-close before it is answered.  `join` or `unwatch` ends the watch.
        """
        try:
            self._epoll.register(sock.fileno(), _ERRORS)
        except OSError:
            # ENOMEM, or ENOSPC past fs.epoll.max_user_watches: a reset will show when the socket is joined.
            log.failure("a connection cannot be watched")
        else:
            self._watched[sock.fileno()] = gone

    def unwatch(self, sock: socket.socket) -> None:
        """Watch no longer."""
        if self._watched.pop(sock.fileno(), None) is not None:
            self._epoll.unregister(sock.fileno())

    def join(
        self, client: socket.socket, upstream: socket.socket, done: Callable[[Pair], None], first: bytes = b""
    ) -> Pair:
        """Pass on between two sockets whatever comes: bytes, FINs, resets.  Both sockets are the relay's from now on.

        :param done: called once with the pair, when both sockets are closed.
        :param first: what the upstream gets first.
        """
        self.now = self._now()
        pair = Pair(self, client, upstream, done, first)
        for way in (pair.inward, pair.outward):
            self._ways[way.reader.fileno()] = way
        try:
            for number in (client.fileno(), upstream.fileno()):
                # The kernel now reports what is there already.
                if self._watched.pop(number, None) is None:
                    self._epoll.register(number, _ALL)
                else:
                    self._epoll.modify(number, _ALL)
        except OSError:
            log.failure("{pair!r} cannot be watched", pair=pair)
            self._loop.call_soon(self.end, pair, FAILED, True)
        return pair

    def end(self, pair: Pair, how: str, reset: bool) -> None:
        """End a pair; only the first time counts.

        With something left that one side did not take, both see a RST: a FIN would say that it had been all.
        """
        if pair.how:
            return
        pair.how = how
        reset = reset or pair.inward.waiting or pair.outward.waiting
        for way in (pair.inward, pair.outward):
            # Closing takes a socket out of the epoll.
            del self._ways[way.reader.fileno()]
            way.release(self.pipes)
            if reset:
                reset_on_close(way.reader)
        pair.client.close()
        pair.upstream.close()
        try:
            pair.done(pair)
        except Exception:
            log.failure("{pair!r}: its end could not be told", pair=pair)

    def close(self) -> None:
        """Stop; there must be no pairs any more."""
        self._loop.remove_reader(self._epoll.fileno())
        self._epoll.close()

    def _wake(self) -> None:
        self.now = self._now()
        ways = self._ways
        for number, event in self._epoll.poll(0, EVENTS):
            way = ways.get(number)
            if way is None:
                if event & _FAILED and number in self._watched:
                    self._gone(number)
                continue
            if event & _READ:
                if event & _BEHIND:
                    way.behind = True
                    way.failed = bool(event & _FAILED)
                self._enqueue(way)
            if event & _WRITE and way.back.waiting:
                self._enqueue(way.back)
        if not self._scheduled:
            self._work()

    def _gone(self, number: int) -> None:
        gone = self._watched.pop(number)
        self._epoll.unregister(number)
        try:
            gone()
        except Exception:
            log.failure("a reset could not be told")

    def _enqueue(self, way: Way) -> None:
        if not way.queued:
            way.queued = True
            self._queue.append(way)

    def _work(self) -> None:
        """Let each direction that has something to do have its turn, up to what one wake may move."""
        self._scheduled = False
        queue = self._queue
        budget = WAKE
        while queue:
            if budget <= 0:
                self._scheduled = True
                self._loop.call_soon(self._work)
                return
            way = queue.popleft()
            way.queued = False
            if not way.over:
                budget -= self._turn(way)

    def _turn(self, way: Way) -> int:
        """Give a direction its turn; returns how many bytes it moved."""
        pair = way.pair
        before = way.count
        try:
            over = way.move(self)
        except Broken as broken:
            self.end(pair, str(broken), True)
            return way.count - before
        if over:
            self._enqueue(way)
        moved = way.count - before
        if moved:
            pair.last_activity = self.now
        if way.ended and way.back.ended:
            self.end(pair, CLOSED, False)
        elif way.failed and way.reader.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
            # What was there to read has gone out, or the other side does not take it: either way it is over.
            self.end(pair, pair.broken(way.reader), True)
        return moved
