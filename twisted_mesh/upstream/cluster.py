"""A named set of endpoints, and which of them takes the next call."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Awaitable, Callable, Sequence

from twisted_mesh.call import Call, Reply
from twisted_mesh.errors import Kind, MeshError, Origin
from twisted_mesh.families import Families
from twisted_mesh.interfaces import Env, Proceed
from twisted_mesh.policy.balance import BALANCES
from twisted_mesh.policy.health import usable
from twisted_mesh.upstream.endpoint import Endpoint

if TYPE_CHECKING:
    from twisted_mesh.model import Cluster as ClusterConfig
    from twisted_mesh.net.connect import Connector

# Where endpoints come from that the configuration gives as they are.
STATIC = ""


class Cluster:
    """A named set of endpoints.

    `endpoints` are all of them, `usable` those that calls go to now, `panicking` says that these are all for want of
    healthy ones.  `forwards` holds the innermost `proceed` by protocol.  `on_change` functions are called with the
    cluster when `usable` changed.

    A cluster can be picked from as soon as it is made; `start` begins resolving and checking.
    """

    def __init__(self, name: str, config: ClusterConfig, env: Env, connector: Connector) -> None:
        self.name = name
        self.config = config
        self.env = env
        self.connector = connector
        self.connect_timeout: float = config.connect_timeout
        self.forwards: dict[str, Proceed] = {}
        self.on_change: list[Callable[[Cluster], None]] = []
        self.endpoints: tuple[Endpoint, ...] = ()
        self.usable: tuple[Endpoint, ...] = ()
        self.panicking = False
        self._balance = BALANCES[config.balance]
        self._next: Callable[[], Endpoint] = self._none
        self._groups: dict[str, Sequence[Endpoint]] = {}
        self._known: dict[str, Endpoint] = {}
        self._started = False
        self._panic_picks = Families(env.metrics).panic_picks.labels(name)
        self.replace(STATIC, [_static(each) for each in config.endpoints])

    def __repr__(self) -> str:
        panic = " panicking" if self.panicking else ""
        return f"<Cluster {self.name} {len(self.usable)} of {len(self.endpoints)} usable{panic}>"

    # --- the hot path

    def pick(self, call: Call) -> Endpoint:
        """Return the endpoint for the next try of `call`, one that it has not tried yet if there is any.

        Counting the call as active is up to the caller.

        :raises MeshError: `Kind.NO_ENDPOINT`: there is none that may be used.
        """
        if call.tried:
            return self._pick_other(call)
        return self._next()

    def forward(self, call: Call) -> Awaitable[Reply]:
        """Send the call to one endpoint by the call's own protocol, and return its reply."""
        return self.forwards[call.protocol](call)

    def _pick_other(self, call: Call) -> Endpoint:
        picked = self._next()
        if picked not in call.tried:
            return picked
        rest = [each for each in self.usable if each not in call.tried]
        return self._balance(rest, self.env.random.random)() if rest else picked

    def _none(self) -> Endpoint:
        raise MeshError(Kind.NO_ENDPOINT, f"cluster {self.name}: {self.trouble}", origin=Origin.UPSTREAM)

    # --- the endpoints

    @property
    def trouble(self) -> str:
        """Why no call can be sent, for people; "" while one can."""
        if self.usable:
            return ""
        if self.endpoints:
            return f"none of {len(self.endpoints)} endpoints is healthy"
        return "no endpoint"

    def replace(self, group: str, endpoints: Sequence[Endpoint]) -> None:
        """Have exactly these endpoints of `group`, beside those of other groups.

        One whose address is known stays the object it is, with its state, and takes over weight, zone and labels.  An
        address in several groups belongs to the first.
        """
        self._groups[group] = endpoints
        self._settle()

    def _settle(self) -> None:
        found: dict[str, Endpoint] = {}
        reweighted = False
        for group in self._groups.values():
            for fresh in group:
                if fresh.address in found:
                    continue
                known = self._known.get(fresh.address, fresh)
                if known is not fresh:
                    reweighted = known.configure(fresh) or reweighted
                found[fresh.address] = known
        self.endpoints = tuple(found.values())
        self._known = found
        self.refresh(reweighted)

    def refresh(self, rebuild: bool = False) -> None:
        """Work out again which endpoints take calls; call it when the state of one has changed."""
        chosen, panicking = usable(self.endpoints, self.config.panic_threshold)
        if chosen == self.usable and panicking == self.panicking and not rebuild:
            return
        self.usable = chosen
        self.panicking = panicking
        pick = self._balance(chosen, self.env.random.random) if chosen else self._none
        self._next = self._counted(pick) if panicking else pick
        for each in list(self.on_change):
            each(self)

    def _counted(self, pick: Callable[[], Endpoint]) -> Callable[[], Endpoint]:
        def counted() -> Endpoint:
            self._panic_picks.value += 1
            return pick()

        return counted


def _static(config: Any) -> Endpoint:
    return Endpoint(config.address, weight=config.weight, zone=config.zone, labels=config.labels)
