"""Messages from the mesh's Redis.

A message is a hint: what counts is in keys.  So after every reconnect everything is read once more, and that is safe
only when all channels are known to be subscribed before: `Subscriber.on_up` says when.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any, Callable, Optional

from twisted.internet.defer import CancelledError, Deferred
from twisted.logger import Logger

from twisted_mesh.bus.errors import BusError
from twisted_mesh.bus.kept_link import KeptLink
from twisted_mesh.bus.upkeep import call_all
from twisted_mesh.families import Families

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from twisted_mesh.bus.dial import Link
    from twisted_mesh.bus.kept_link import Around
    from twisted_mesh.model.redis import Redis as Settings

log = Logger("twisted_mesh.bus")

OnMessage = Callable[[bytes], None]


class _Channel:
    """A channel that is wanted.

    :ivar refused: the server did not allow it when it was last asked.
    """

    __slots__ = ("acknowledged", "deliver", "refused")

    def __init__(self, deliver: OnMessage) -> None:
        self.deliver = deliver
        self.acknowledged: Optional[Deferred[None]] = Deferred()
        self.refused = False


class Subscriber(KeptLink):
    """The connection for messages, kept as long as it runs.

    :param link: what log and metrics call it.
    :ivar on_up: called after every connect, once all channels are acknowledged: now read everything.
    :ivar last_message: when the last message or other sign of life came, by `now`.
    """

    def __init__(self, settings: Settings, link: str = "messages", **around: Unpack[Around]) -> None:
        super().__init__(settings, link, link, around, self._deliver)
        self.last_message = self._now()
        self._channels: dict[bytes, _Channel] = {}
        # What the connection is subscribed to.
        self._have: set[bytes] = set()
        # Channels of which the two may differ.
        self._open: deque[bytes] = deque()
        self._ready = False
        self._syncing = False
        self._metrics = around["metrics"]
        self._age = Families(self._metrics).bus_message_age.labels() if link == "messages" else None
        self._unhook: Optional[Callable[[], None]] = None

    def __repr__(self) -> str:
        state = f"at {self._upkeep.link.server}" if self._upkeep.link is not None else self.trouble
        return f"<Subscriber {self.settings.url.shown} {state}, {len(self._have)} of {len(self._channels)} channels>"

    def start(self) -> None:
        """Begin to connect."""
        if self._age is not None and self._unhook is None:
            self._unhook = self._metrics.on_collect(self._show)
        super().start()

    def stop(self) -> Deferred[None]:
        """End; no message is delivered after it."""
        return Deferred.fromCoroutine(self._stop())

    async def _stop(self) -> None:
        self._upkeep.stop()
        await self._finder.stop()
        if self._unhook is not None:
            self._unhook()
            self._unhook = None
        for each in self._channels.values():
            _fire(each, BusError("down", "stopped"))
        self._channels.clear()

    @property
    def connected(self) -> bool:
        """Whether there is a connection and every channel is acknowledged."""
        return self._ready

    @property
    def trouble(self) -> str:
        """Why messages may be missing, in one line; "" if all is well."""
        if self._upkeep.trouble:
            return self._upkeep.trouble
        refused = [name.decode("utf-8", "replace") for name, each in self._channels.items() if each.refused]
        return f"redis {self.server} refuses the channel {refused[0]}" if refused else ""

    def subscribe(self, channel: str, on_message: OnMessage) -> Deferred[None]:
        """Have `on_message` called with each message of a channel, from the acknowledgement on, which fires the result.

        While there is no connection that may take long; the channel is wanted until `unsubscribe` says otherwise.

        :raises BusError: through the Deferred: the server refuses the channel, which is forgotten; or it was stopped.
        :raises ValueError: it is subscribed already.
        """
        name = channel.encode()
        if name in self._channels:
            raise ValueError(f"the channel {channel} is subscribed already")
        wanted = self._channels[name] = _Channel(on_message)
        assert wanted.acknowledged is not None
        acknowledged = wanted.acknowledged
        self._sync(name)
        return acknowledged

    def unsubscribe(self, channel: str) -> None:
        """Want a channel no more; nothing of it is delivered from now on."""
        name = channel.encode()
        wanted = self._channels.pop(name, None)
        if wanted is not None:
            _fire(wanted, CancelledError())
            self._sync(name)

    # --- what the connection is subscribed to

    def _sync(self, *names: bytes) -> None:
        """Bring what the server has of channels in line with what is wanted, one question at a time."""
        link = self._upkeep.link
        if link is not None:
            self._open.extend(names)
        if link is not None and link.failure is None and not self._syncing:
            self._syncing = True
            Deferred.fromCoroutine(self._in_line(link)).addErrback(self._broken, link)

    async def _in_line(self, link: Link) -> None:
        try:
            while link.failure is None:
                step = self._next()
                if step is None:
                    break
                await self._ask(link, *step)
        finally:
            self._syncing = False
        if link is self._upkeep.link and link.failure is None:
            if not self._ready:
                self._ready = True
                self._cells.connected.value = 1
                call_all(self.on_up)
        else:
            # The connection was lost in the meantime, and there may be another one already.
            self._sync()

    def _next(self) -> Optional[tuple[str, bytes]]:
        while self._open:
            name = self._open.popleft()
            wanted = self._channels.get(name)
            if wanted is not None and name not in self._have and not wanted.refused:
                return "SUBSCRIBE", name
            if wanted is None and name in self._have:
                return "UNSUBSCRIBE", name
            if wanted is not None and name in self._have:
                # Left and taken again before the server heard of either.
                _fire(wanted, None)
        return None

    async def _ask(self, link: Link, verb: str, name: bytes) -> None:
        try:
            await link.ask((verb, name), self.settings.timeout)
        except BusError as error:
            if error.kind == "refused":
                self._refused(link, name, error)
            return
        if link is not self._upkeep.link:
            return
        if verb == "UNSUBSCRIBE":
            self._have.discard(name)
            return
        self._have.add(name)
        wanted = self._channels.get(name)
        if wanted is not None:
            _fire(wanted, None)

    def _refused(self, link: Link, name: bytes, error: BusError) -> None:
        if error.wrong_server:
            self._finder.refused(error)
            link.abort(error)
            return
        wanted = self._channels.get(name)
        if wanted is None:
            # An UNSUBSCRIBE that a server refuses: nothing of the channel is delivered anyway.
            self._have.discard(name)
            return
        log.error("{error}: the channel {name}", error=error, name=name.decode("utf-8", "replace"))
        if wanted.acknowledged is not None:
            del self._channels[name]
            _fire(wanted, error)
        else:
            wanted.refused = True

    def _broken(self, failure: Any, link: Link) -> None:
        log.failure("the subscriptions broke", failure)
        link.abort(BusError("protocol", "the subscriptions broke; see the log", server=link.server))

    # --- what becomes of the connection

    def _opened(self, link: Link) -> None:
        super()._opened(link)
        self._alive()
        self._open.clear()
        self._sync(*self._channels)

    def _closed(self, why: BusError) -> None:
        was_ready, self._ready = self._ready, False
        super()._closed(why)
        self._have.clear()
        for each in self._channels.values():
            each.refused = False
        if was_ready:
            call_all(self.on_down)

    def _alive(self) -> None:
        self.last_message = self._now()

    def _deliver(self, name: bytes, payload: bytes) -> None:
        self._alive()
        self._cells.messages.value += 1
        wanted = self._channels.get(name)
        if wanted is None:
            return
        try:
            wanted.deliver(payload)
        except Exception:
            log.failure("a message of {name} was not understood", name=name.decode("utf-8", "replace"))

    def _show(self) -> None:
        assert self._age is not None
        self._age.value = max(0.0, self._now() - self.last_message)


def _fire(channel: _Channel, error: Optional[BaseException]) -> None:
    """Tell whoever waits for the acknowledgement, once."""
    waiting, channel.acknowledged = channel.acknowledged, None
    if waiting is None or waiting.called:
        return
    if error is None:
        waiting.callback(None)
    else:
        waiting.errback(error)
