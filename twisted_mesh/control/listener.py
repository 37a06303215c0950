"""A listener that is live: its sockets, its adapter, and the chain that its calls run through."""

from __future__ import annotations

from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any, Callable, Optional, Protocol, Sequence

from twisted_mesh.chain import compose
from twisted_mesh.families import Families
from twisted_mesh.interfaces import Adapter, Env, Filter, Observer, Proceed
from twisted_mesh.net.accept import Accepted, Port

if TYPE_CHECKING:
    from twisted_mesh import model
    from twisted_mesh.control.compile import Chain
    from twisted_mesh.net.certificates import Served
    from twisted_mesh.net.handshakes import Handshakes, SecureAccepted

# What Via says of a sidecar that has no name (RFC 9110, section 7.6.3).
PSEUDONYM = "twisted-mesh"
# Days before a certificate ends from which on it is said to end soon, when it is read.
SOON = 7


def mode_of(bind: model.Bind) -> Optional[int]:
    """Return the permissions of a bind's file; None for what has none."""
    return int(bind.mode, 8) if bind.address.path else None


class ListenerAdapter(Adapter, Protocol):
    """What a listener asks of the adapter of any protocol, beside what the whole process asks of it."""

    chain: Proceed
    observers: Sequence[Filter]
    # How it calls itself to the next hop, in protocols that have a way to.
    node: str

    def configure(self, options: Any) -> None:
        """Go by these options from now on."""

    def accepted(self, accepted: Accepted) -> None:
        """Take a new connection."""

    def secured(self, accepted: SecureAccepted) -> None:
        """Take a new connection whose TLS handshake is over."""


class LiveListener:
    """One listener.  `ports` are its sockets, by the address as the configuration gives it; `chain` is what its calls
    run through; `served` what it makes TLS handshakes with, None if it speaks no TLS."""

    def __init__(self, name: str, config: model.Listener, adapter: ListenerAdapter, env: Env) -> None:
        self.name = name
        self.config = config
        self.adapter = adapter
        self.ports: dict[str, Port] = {}
        self.env = env
        self.chain: Optional[Chain] = None
        self.served: Optional[Served] = None
        self._handshakes: Optional[Handshakes] = None
        self._taps: list[Observer] = []
        self._refused = Families(env.metrics).connections_refused.labels(config.protocol, name)

    def __repr__(self) -> str:
        return f"<LiveListener {self.name} {self.config.protocol} {self.addresses} {self.adapter!r}>"

    @property
    def addresses(self) -> list[str]:
        """Where it listens, with the real port numbers."""
        return [each.address for each in self.ports.values()]

    def configure(self, config: model.Listener, chain: Chain, node: str, served: Optional[Served] = None) -> None:
        """Go by this configuration from now on; calls in flight end on the chain that they began on.

        :param node: the name of the sidecar; "" if it has none.
        :param served: what the TLS of this configuration comes to.
        """
        options, before = getattr(config, config.protocol), getattr(self.config, config.protocol)
        self.config = config
        if options != before:
            self.adapter.configure(options)
        for bind in config.bind:
            for port in self.ports.values():
                if port.bind == bind.address:
                    port.adjust(bind.backlog, mode_of(bind))
        self.adapter.node = node or PSEUDONYM
        self.secure(served)
        self.chain = chain
        self._run(chain)

    def _run(self, chain: Chain) -> None:
        self.adapter.observers = [*self._taps, *chain.observers] if self._taps else chain.observers
        if self._taps:
            self.adapter.chain = compose(self._taps, chain.proceed)
        else:
            self.adapter.chain = chain.proceed
            chain.watch(self.adapter)
        if self.config.protocol == "redis":
            from twisted_mesh.control.shortcuts import ways_of

            adapter: Any = self.adapter
            adapter.apart = chain.table.apart
            adapter.shorten(None if self._taps else ways_of(chain))

    def tap(self, tap: Observer) -> None:
        """Have somebody see each call from now on, when it has ended."""
        self._taps.append(tap)
        if self.chain is not None:
            self._run(self.chain)

    def untap(self, tap: Observer) -> None:
        """They have seen enough."""
        if tap in self._taps:
            self._taps.remove(tap)
            if self.chain is not None:
                self._run(self.chain)

    def accepted(self, accepted: Accepted) -> None:
        """Take a new connection, unless there are too many."""
        limit = self.config.max_connections
        if limit is not None and self.adapter.connections >= limit:
            self._refused.value += 1
            accepted.sock.close()
            return
        self.adapter.accepted(accepted)

    # --- TLS

    @property
    def takes(self) -> Callable[[Accepted], None]:
        """What new connections are to be given to."""
        return self.accepted if self.served is None else self._shake_hands

    @property
    def connections(self) -> int:
        """Client connections that are open, also those whose handshake goes on."""
        return self.adapter.connections + (0 if self._handshakes is None else len(self._handshakes))

    def close_all(self) -> None:
        """End every connection now."""
        if self._handshakes is not None:
            self._handshakes.close_all()
        self.adapter.close_all()

    def secure(self, served: Optional[Served]) -> None:
        """Make handshakes with this from now on; those that go on, and connections, keep what they began with."""
        before, self.served = self.served, served
        if served is None or self.config.tls is None:
            return
        if self._handshakes is None:
            from twisted_mesh.net.handshakes import Handshakes

            self._handshakes = Handshakes(self.config.protocol, self.name, self.env, self.adapter.secured)
        self._handshakes.context = served.context
        self._handshakes.timeout = self.config.tls.handshake_timeout
        if before is None or before.context is not served.context:
            self._tell_ends(served)

    def _tell_ends(self, served: Served) -> None:
        """Say when the certificates end, in a metric; and in the log, where that is or will soon be a trouble."""
        expiry = Families(self.env.metrics).certificate_expiry
        expiry.forget("listener", (self.name,))
        now = datetime.fromtimestamp(self.env.wall(), timezone.utc)
        for index, each in enumerate(served.certificates):
            expiry.labels(self.config.protocol, self.name, str(index)).value = each.ends.timestamp()
            if each.begins > now:
                said = f"begins only at {each.begins.isoformat()}"
            elif each.ends <= now:
                said = f"has expired at {each.ends.isoformat()}"
            elif (each.ends - now).days < SOON:
                said = f"expires soon, at {each.ends.isoformat()}"
            else:
                continue
            self.env.log.warn(
                "listener {name}: tls.certificates[{index}] {said}", name=self.name, index=index, said=said
            )

    def _shake_hands(self, accepted: Accepted) -> None:
        limit = self.config.max_connections
        assert self._handshakes is not None
        if limit is not None and self.connections >= limit:
            self._refused.value += 1
            accepted.sock.close()
            return
        self._handshakes.accepted(accepted)

    def stop_accepting(self) -> None:
        """Accept what waits on every socket, and close it."""
        for each in self.ports.values():
            each.stop_accepting()

    def describe(self) -> dict[str, object]:
        """Return what /listeners shows."""
        about = {
            "name": self.name,
            "protocol": self.config.protocol,
            "addresses": self.addresses,
            "accepting": any(each.listening for each in self.ports.values()),
            "connections": self.adapter.connections,
            "active_calls": self.adapter.active,
        }
        if self.served is not None and self.config.tls is not None:
            about["tls"] = {
                "certificates": [
                    {"names": list(each.names), "ends": each.ends.isoformat()} for each in self.served.certificates
                ],
                "client_certificate": self.config.tls.asks,
                "handshakes": 0 if self._handshakes is None else len(self._handshakes),
            }
        return about
