"""One client of a Redis listener: its life, from the first byte to the last."""

from __future__ import annotations

import socket
from collections import deque
from typing import Any

from twisted.internet.interfaces import IHalfCloseableProtocol
from zope.interface import implementer

from twisted_mesh.adapters.redis_answering import ITS_COMMANDS, Answers
from twisted_mesh.adapters.redis_binding import Mute
from twisted_mesh.adapters.redis_commands import Commands
from twisted_mesh.adapters.redis_uploading import KEPT_LIMIT
from twisted_mesh.errors import Kind


@implementer(IHalfCloseableProtocol)
class RedisConnection(Commands):
    """A client; a Twisted protocol."""

    __slots__ = ()

    def __repr__(self) -> str:
        return f"<RedisConnection {self.id} from {self.peer}, {self._in_flight} commands in flight>"

    @property
    def busy(self) -> bool:
        """Whether it waits for an answer."""
        return bool(self.queue)

    @property
    def listens(self) -> bool:
        """Whether it waits for what others do, and need not say anything itself."""
        session = None if self.binding is None else self.binding.session
        return session is not None and bool(session.subscribed or session.monitoring)

    # --- what comes

    def makeConnection(self, transport: Any) -> None:
        """The client has connected."""
        self._transport = transport
        # A client that has vanished says nothing: the kernel finds out, as it does for a server.
        transport.setTcpKeepAlive(True)
        transport.registerProducer(Answers(self), True)
        self.adapter.opened(self)

    def dataReceived(self, data: bytes) -> None:
        """Take what the client sends."""
        if self._closing:
            return
        reader = self._reader
        shortcut = self.adapter.shortcut
        if (
            shortcut is not None
            and self.guard is None
            and self.binding is None
            and self.mute is Mute.NO
            and self.resp == 2
            and not (self.db or self._backlog or self._repeating or self._unbegun)
            and reader.idle
            and shortcut.take(self, data)
        ):
            if self._in_flight >= self.adapter.pipelined:
                self._stand(ITS_COMMANDS)
            return
        if self._upload is not None:
            self.active_at = self.adapter.now()
        if self.guard is not None:
            reader.trusted = self.guard.user is not None
        found = reader.feed(data)
        if self._upload is not None:
            self._go_on_uploading()
        if self._backlog:
            self._backlog.append((found, reader.data))
            return
        if found:
            self._take(found, reader.data)
        if self._backlog:
            return
        if reader.error is not None:
            self._wrong(reader.error)
        elif reader.unfinished is not None and reader.unfinished.kept and reader.unfinished.size > KEPT_LIMIT:
            self._begin_uploading()
        if self._in_flight >= self.adapter.pipelined:
            self._stand(ITS_COMMANDS)

    # --- the end

    def drain(self) -> None:
        """Close once everything is answered that has come, and what the kernel already holds."""
        if not self.queue and not self._backlog and self._reader.held == 0 and not self._unread():
            self.close()
        else:
            # As if it had said that it sends no more.
            self._eof = True

    def _unread(self) -> bool:
        """Whether the kernel holds something of the client's that was not read yet."""
        sock = getattr(self._transport, "sock", None)
        try:
            return sock is not None and bool(sock.recv(1, socket.MSG_PEEK))
        except OSError:
            return False

    def expire(self) -> None:
        """It has been idle for too long."""
        self._closing = True
        self._transport.loseConnection()

    def readConnectionLost(self) -> None:
        """The client sends no more; it may still read."""
        self._eof = True
        if self._upload is not None or (self.binding is not None and self.binding.waits):
            # Who would wait for an answer would not go: what it takes would be lost.
            self.cut()
        elif not self.queue and not self._backlog:
            self._closing = True
            self._flush()

    def writeConnectionLost(self) -> None:
        """We send no more."""

    def connectionLost(self, reason: Any) -> None:
        """The client has gone: nobody waits for its answers any more."""
        self.gone = True
        queue, self.queue = self.queue, deque()
        self._out = []
        self._told = []
        self._unbegun = []
        self._upload = None
        self._backlog = []
        if self.binding is not None:
            self.binding.end()
        for each in queue:
            each.leave(Kind.CLIENT_GONE)
        self.adapter.closed(self)
