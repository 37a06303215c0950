"""Which endpoint of a cluster takes the next call."""

from __future__ import annotations

from typing import TYPE_CHECKING, Callable, Optional, Sequence

from twisted_mesh.call import Call
from twisted_mesh.families import Families
from twisted_mesh.interfaces import Env
from twisted_mesh.model.cluster import KEYED
from twisted_mesh.policy.balance import BALANCES, pick_random
from twisted_mesh.policy.ewma import peak_ewma
from twisted_mesh.upstream.conducts import Conducts
from twisted_mesh.upstream.endpoint import Endpoint
from twisted_mesh.upstream.keyed import Keyed
from twisted_mesh.upstream.maintenance import Switch
from twisted_mesh.upstream.resting import Resting

if TYPE_CHECKING:
    from twisted_mesh.model import Cluster as ClusterConfig


class Picks:
    """The picking of one cluster: the balance among those that are usable, and what goes before it.

    Before it go the switch that operators have, the endpoint that belongs to the call's key, and one call for each of
    `trials`, the endpoints that are to be found out about.

    :param nobody: raises what says why there is no endpoint.
    """

    def __init__(
        self,
        name: str,
        config: ClusterConfig,
        env: Env,
        conducts: Conducts,
        switch: Switch,
        nobody: Callable[[], Endpoint],
    ) -> None:
        self.trials: Sequence[Endpoint] = ()
        self._usable: Sequence[Endpoint] = ()
        self._endpoints: Sequence[Endpoint] = ()
        self._panicking = False
        self._balance = config.balance
        self._env = env
        self._conducts = conducts
        self._switch = switch
        self._nobody = nobody
        self._keyed: Optional[Keyed] = None
        if config.balance in KEYED:
            self._keyed = Keyed(config.balance, config.hash, env)
        # Says that picking is not for the balance alone.
        self._special = self._keyed is not None
        self._next: Callable[[], Endpoint] = nobody
        self._resting = Resting(env.clock, self._choose)
        self._panic_picks = Families(env.metrics).panic_picks.labels(name)

    def __repr__(self) -> str:
        return f"<Picks {self._balance} of {len(self._usable)}>"

    # --- the hot path

    def pick(self, call: Call) -> Endpoint:
        """Return the endpoint for the next try of `call`; see `Cluster.pick`."""
        if call.tried or self._special:
            return self._pick_other(call)
        return self._next()

    def admits(self, endpoint: Endpoint, call: Call) -> bool:
        """Return whether this endpoint, which nothing else can stand in for, takes the call now."""
        if endpoint in self.trials:
            self._conducts.probe(endpoint, call)
            return True
        return endpoint in self._usable

    def _pick_other(self, call: Call) -> Endpoint:
        if self._switch.on:
            self._switch.check()
        if self._keyed is not None:
            owner = self._keyed.pick(call)
            if owner is not None:
                self._panic_picks.value += self._panicking
                if owner in self.trials:
                    self._conducts.probe(owner, call)
                return owner
        for each in self.trials:
            if each not in call.tried:
                self._conducts.probe(each, call)
                return each
        picked = self._next()
        if picked not in call.tried:
            return picked
        rest = self._resting.awake([each for each in self._usable if each not in call.tried])
        return self._spread(rest)() if rest else picked

    def _counted(self, pick: Callable[[], Endpoint]) -> Callable[[], Endpoint]:
        def counted() -> Endpoint:
            self._panic_picks.value += 1
            return pick()

        return counted

    # --- what it picks from

    def adopt(self, old: Picks) -> None:
        """Go on with what the cluster before has made."""
        if self._keyed is not None and old._keyed is not None:
            self._keyed.adopt(old._keyed)

    def stop(self) -> None:
        """Nobody rests any more, and no table is filled."""
        self._resting.stop()
        if self._keyed is not None:
            self._keyed.stop()

    def rest(self, endpoint: Endpoint) -> None:
        """For a moment the others take the calls of this one, if there are any."""
        if len(self._usable) > 1:
            self._resting.add(endpoint)

    def use(
        self,
        endpoints: Sequence[Endpoint],
        usable: Sequence[Endpoint],
        trials: Sequence[Endpoint],
        panicking: bool,
    ) -> None:
        """There are these endpoints, and calls go to `usable`.

        :param panicking: these are all of them for want of healthy ones.
        """
        self._endpoints = endpoints
        self._usable = usable
        self.trials = trials
        self._panicking = panicking
        self._choose()

    def _choose(self) -> None:
        """Prepare the next picks."""
        chosen = self._resting.awake(self._usable)
        if self._keyed is not None:
            self._keyed.use(self._endpoints, [*chosen, *self.trials])
        self._special = self._keyed is not None or bool(self.trials) or self._switch.on
        pick = self._spread(chosen) if chosen else self._nobody
        self._next = self._counted(pick) if self._panicking else pick

    def _spread(self, endpoints: Sequence[Endpoint]) -> Callable[[], Endpoint]:
        """Return a function that picks among these by the cluster's balance."""
        dice = self._env.random.random
        if self._balance == "peak_ewma":
            return peak_ewma(endpoints, self._conducts.latencies(endpoints), dice, self._env.now)
        # What has no key goes anywhere.
        return pick_random(endpoints, dice) if self._keyed else BALANCES[self._balance](endpoints, dice)
