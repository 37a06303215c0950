"""Making one connection that can be used: connected, logged in, and its server known."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Callable, Optional, Union

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.error import ConnectingCancelledError

from twisted_mesh.bus.endpoint import endpoint_for
from twisted_mesh.bus.errors import BusError
from twisted_mesh.bus.reason import reason

if TYPE_CHECKING:
    from twisted_mesh.bus.wire import CommandLink, MessageLink
    from twisted_mesh.model import Address
    from twisted_mesh.model.redis import Redis

    Link = Union[CommandLink, MessageLink]

# What a server says that does not know a command, or does not let us use it.
_UNKNOWN = frozenset(["ERR", "NOPERM"])
Deliver = Callable[[bytes, bytes], None]


class _Progress:
    """How far an attempt has got."""

    def __init__(self, secure: bool) -> None:
        self.link: Optional[Link] = None
        self.asked = ""
        self._secure = secure

    def missing(self) -> str:
        """Return what is waited for."""
        if self.link is None:
            return "no connection"
        if self._secure and not self.link.secured:
            return "no TLS handshake"
        return f"no answer to {self.asked}"


class Dialer:
    """Makes connections to addresses with one set of settings.

    :param deliver: takes channel and message; with it the connections are for subscriptions.
    """

    def __init__(self, settings: Redis, reactor: Any, deliver: Optional[Deliver] = None) -> None:
        self.settings = settings
        self._reactor = reactor
        self._deliver = deliver

    async def dial(self, address: Address) -> Link:
        """Return a connection that answers.

        :raises BusError: there is none within the settings' timeout, however far it got.
        """
        timeout = self.settings.timeout
        progress = _Progress(self.settings.secure)
        late = False

        def on_late(value: Any, _: float) -> Any:
            nonlocal late
            late = True
            return value

        try:
            dialling = Deferred.fromCoroutine(self._dial(address, progress))
            return await dialling.addTimeout(timeout, self._reactor, onTimeoutCancel=on_late)
        except BusError as error:
            raise error if error.server else BusError(error.kind, error.detail, server=str(address)) from error
        except (CancelledError, ConnectingCancelledError) as error:
            if not late:
                raise CancelledError from error
            raise BusError("timeout", f"{progress.missing()} within {timeout:g} s", server=str(address)) from error
        except Exception as error:
            raise BusError("down", reason(error), server=str(address)) from error

    async def _dial(self, address: Address, progress: _Progress) -> Link:
        from twisted_mesh.bus.wire import CommandLink, LinkFactory, MessageLink

        server, deliver = str(address), self._deliver

        def make() -> Link:
            if deliver is None:
                return CommandLink(server, self._reactor)
            return MessageLink(server, self._reactor, deliver)

        endpoint = endpoint_for(address, self.settings, self._reactor)
        made: Any = await endpoint.connect(LinkFactory(make))
        link: Link = made
        progress.link = link
        try:
            await self._enter(link, progress)
        except BaseException as error:
            link.abort(error if isinstance(error, BusError) else BusError("down", "given up", server=server))
            raise
        return link

    async def _enter(self, link: Link, progress: _Progress) -> None:
        """Log in, choose the database, and ask whether it serves and what it is."""
        # Longer than the whole may take: that limit says where it stood.
        limit = self.settings.timeout * 2

        async def ask(*args: object) -> Any:
            progress.asked = str(args[0])
            return await link.ask(args, limit)

        username, password = self.settings.login
        if password or username:
            await ask(*(["AUTH", username, password] if username else ["AUTH", password]))
        if self.settings.url.database:
            await ask("SELECT", self.settings.url.database)
        # A server that loads its data or has lost its master refuses this.
        await ask("PING")
        try:
            about = await ask("HELLO")
        except BusError as error:
            if error.code not in _UNKNOWN:
                raise
        else:
            facts = _facts(about)
            link.mode = facts.get("mode", "")
            link.role = "replica" if facts.get("role") == "slave" else facts.get("role", "")


def _facts(flat: Any) -> dict[str, str]:
    """Return the texts in what HELLO says: names and values in turn."""
    if not isinstance(flat, list):
        return {}
    pairs = zip(flat[::2], flat[1::2], strict=False)
    return {
        name.decode("utf-8", "replace"): value.decode("utf-8", "replace")
        for name, value in pairs
        if isinstance(name, bytes) and isinstance(value, bytes)
    }
