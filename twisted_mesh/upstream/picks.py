"""Which endpoint of a cluster takes the next call."""

from __future__ import annotations

from typing import TYPE_CHECKING, Callable, Optional, Sequence

from twisted_mesh.call import Call
from twisted_mesh.families import Families
from twisted_mesh.interfaces import Env
from twisted_mesh.model.cluster import KEYED
from twisted_mesh.policy.balance import BALANCES, pick_random
from twisted_mesh.policy.ewma import peak_ewma
from twisted_mesh.policy.locality import Zones, among
from twisted_mesh.policy.slow_start import SlowStart
from twisted_mesh.upstream.affinity import Affinity
from twisted_mesh.upstream.conducts import Conducts
from twisted_mesh.upstream.endpoint import Endpoint
from twisted_mesh.upstream.keyed import Keyed
from twisted_mesh.upstream.maintenance import Switch
from twisted_mesh.upstream.resting import Resting
from twisted_mesh.upstream.warming import Warming
from twisted_mesh.weakly import weakly

if TYPE_CHECKING:
    from twisted_mesh.model import Cluster as ClusterConfig


class Picks:
    """The picking of one cluster: the balance among those that are usable, and what goes before it.

    Before it go the switch that operators have, the endpoint of the call's session, the endpoint that belongs to the
    call's key, and one call for each of `trials`, the endpoints that are to be found out about.

    `next` picks by the balance alone; while nothing is `special` that is all there is to it.

    :param nobody: raises what says why there is no endpoint.
    :param zone: gives the sidecar's own, "" if it has none.
    """

    def __init__(
        self,
        name: str,
        config: ClusterConfig,
        env: Env,
        conducts: Conducts,
        switch: Switch,
        nobody: Callable[[], Endpoint],
        zone: Callable[[], str],
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
        self.affinity = None if config.affinity is None else Affinity(config.affinity, name)
        # Says that picking is not for the balance alone.
        self.special = self._keyed is not None or self.affinity is not None
        # What picks, and the same without counting.
        self.next: Callable[[], Endpoint] = nobody
        self._plain: Callable[[], Endpoint] = nobody
        # Whether the next turn is known already, as somebody has looked.
        self._put_back = False
        choose = weakly(self._choose)
        self._resting = Resting(env.clock, choose)
        near, slow = config.locality, config.slow_start
        self._zone = zone
        self._zones = None if near is None else Zones(near.order, near.weights, near.spare, near.least)
        # The shares of groups of zones, for people.
        self._shown: dict[str, float] = {}
        self._warming: Optional[Warming] = None
        if slow is not None:
            rule = SlowStart(slow.window, slow.aggression, slow.least / 100.0)
            self._warming = Warming(rule, env, choose)
        self._panic_picks = Families(env.metrics).panic_picks.labels(name)

    def __repr__(self) -> str:
        return f"<Picks {self._balance} of {len(self._usable)}>"

    # --- the hot path

    def pick(self, call: Call) -> Endpoint:
        """Return the endpoint for the next try of `call`; see `Cluster.pick`."""
        if call.tried or self.special:
            return self._pick_other(call)
        return self.next()

    def admits(self, endpoint: Endpoint, call: Call) -> bool:
        """Return whether this endpoint, which nothing else can stand in for, takes the call now."""
        if endpoint in self.trials:
            self._conducts.probe(endpoint, call)
            return True
        return endpoint in self._usable

    def _pick_other(self, call: Call) -> Endpoint:
        if self._switch.on:
            self._switch.check()
        wanted, _ = self._wanted(call)
        if wanted is not None:
            if wanted in self.trials:
                self._conducts.probe(wanted, call)
            else:
                self._panic_picks.value += self._panicking
            return wanted
        picked = self.next()
        if picked not in call.tried:
            return picked
        rest = self._resting.awake([each for each in self._usable if each not in call.tried])
        return self._spread(rest)() if rest else picked

    def _wanted(self, call: Call) -> tuple[Optional[Endpoint], str]:
        """Return the endpoint that takes this call and no other, and why; None where the balance decides.

        Nothing is said of a key, since only who explains it asks for that.
        """
        owner = None if self.affinity is None else self.affinity.pick(call)
        if owner is not None:
            return owner, "the call's session is there"
        owner = None if self._keyed is None else self._keyed.pick(call)
        if owner is not None:
            return owner, ""
        for each in self.trials:
            if each not in call.tried:
                return each, "a call is to find out whether it is well again"
        return None, ""

    def peek(self, call: Call) -> tuple[Endpoint, str]:
        """Return the endpoint that the first try of `call` would go to if it came now, and why; nothing changes.

        :raises MeshError: as `pick`.
        """
        self._switch.check_closed()
        wanted, why = self._wanted(call)
        if wanted is not None:
            # Only a key leaves it open.
            return wanted, why or (self._keyed.why(call, wanted) if self._keyed is not None else "")
        found = self._plain()
        if self._balance == "round_robin" and not self._put_back:
            # It has its turn when a call comes, or there are other turns by then.
            self._keep_turn(found)
        return found, f"by {self._balance}"

    def put_back(self, found: Endpoint) -> None:
        """`found` was picked for nothing: it is the next pick."""
        self._panic_picks.value -= self._panicking
        self._keep_turn(found)

    def _keep_turn(self, found: Endpoint) -> None:
        after, pick = self.next, self._plain

        def first() -> Endpoint:
            self.next, self._plain, self._put_back = after, pick, False
            self._panic_picks.value += self._panicking
            return found

        self.next, self._plain, self._put_back = first, lambda: found, True

    def score(self, endpoint: Endpoint) -> Optional[float]:
        """Return what the balance compares by, where less is better; None if it compares nothing."""
        weights = None if self._warming is None or self._panicking else self._warming.weights([endpoint])
        weight = endpoint.weight if weights is None else weights[0]
        if self._balance == "peak_ewma":
            return self._conducts.latencies([endpoint])[0].cost(endpoint.active, weight, self._env.now())
        return endpoint.active / weight if self._balance == "least_request" and weight else None

    def resting(self, endpoint: Endpoint) -> bool:
        """Whether it could not be connected to a moment ago."""
        return self._resting.has(endpoint)

    def _counted(self, pick: Callable[[], Endpoint]) -> Callable[[], Endpoint]:
        cell = self._panic_picks

        def counted() -> Endpoint:
            cell.value += 1
            return pick()

        return counted

    # --- what it picks from

    def adopt(self, old: Picks) -> None:
        """Go on with what the cluster before has made."""
        if self._keyed is not None and old._keyed is not None:
            self._keyed.adopt(old._keyed)
        if self._warming is not None and old._warming is not None:
            self._warming.adopt(old._warming)

    def start(self) -> None:
        """The cluster begins."""
        if self._warming is not None:
            self._warming.start()

    def stop(self) -> None:
        """Nobody rests or warms up any more, and no table is filled."""
        self._resting.stop()
        if self._keyed is not None:
            self._keyed.stop()
        if self._warming is not None:
            self._warming.stop()

    def describe(self) -> dict[str, object]:
        """What makes shares other than what weights say."""
        return {"zones": dict(self._shown), "warming": {} if self._warming is None else self._warming.describe()}

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
        if self._warming is not None and not panicking:
            self._warming.look(endpoints, usable)
        self._choose()

    def suffices(self, endpoints: Sequence[Endpoint], wanted: Sequence[Endpoint]) -> bool:
        """Return whether healthy endpoints of other zones can stand in, so that there is no need for panic.

        :param wanted: those of all `endpoints` that nobody has taken out.
        """
        if self._zones is None:
            return False
        return self._zones.enough(self._counts(self._zones, endpoints, [each for each in wanted if each.healthy]))

    def _choose(self) -> None:
        """Prepare the next picks."""
        chosen = self._resting.awake(self._usable)
        if self._keyed is not None:
            self._keyed.use(self._endpoints, [*chosen, *self.trials])
        if self.affinity is not None:
            self.affinity.use(self._endpoints, [*chosen, *self.trials, *self._unasked()], self._usable)
        owned = self._keyed is not None or self.affinity is not None
        self.special = owned or bool(self.trials) or self._switch.on
        self._shown = {}
        pick = self._plain = self._spread(chosen) if chosen else self._nobody
        self._put_back = False
        self.next = self._counted(pick) if self._panicking else pick

    def _unasked(self) -> list[Endpoint]:
        """Return those that only wait for their first check; at the start no session must move because of that."""
        if not any(each.checked for each in self._usable):
            return []
        waiting = [each for each in self._endpoints if not each.checked and not each.out]
        return [each for each in waiting if each.conduct is None or not (each.conduct.shut or each.conduct.ejected)]

    def _spread(self, endpoints: Sequence[Endpoint]) -> Callable[[], Endpoint]:
        """Return a function that picks among these by the cluster's balance, and by zones where it asks for that."""
        if self._zones is None or self._panicking:
            return self._among(endpoints)
        own = self._zone()
        counts = self._counts(self._zones, self._endpoints, endpoints)
        shares = self._zones.shares(counts)
        if shares is None:
            return self._among(endpoints)
        self._shown = {self._zones.name(group, own): share for group, share in zip(counts, shares, strict=True)}
        members: dict[tuple[int, str], list[Endpoint]] = {each: [] for each in counts}
        for each in endpoints:
            members[self._zones.group_of(each.zone, own)].append(each)
        if not any(share and members[group] for group, share in zip(counts, shares, strict=True)):
            return self._among(endpoints)
        picks = [self._among(each) if each else self._nobody for each in members.values()]
        return among(picks, shares, self._env.random.random)

    def _counts(
        self, zones: Zones, endpoints: Sequence[Endpoint], usable: Sequence[Endpoint]
    ) -> dict[tuple[int, str], tuple[int, int]]:
        """Return how many endpoints of each group can be used, and how many there are; the nearest group first."""
        own = self._zone()
        all_of: dict[tuple[int, str], int] = {}
        good: dict[tuple[int, str], int] = {}
        for each in endpoints:
            group = zones.group_of(each.zone, own)
            all_of[group] = all_of.get(group, 0) + 1
        for each in usable:
            group = zones.group_of(each.zone, own)
            good[group] = good.get(group, 0) + 1
            all_of.setdefault(group, 1)
        return {group: (good.get(group, 0), all_of[group]) for group in sorted(all_of)}

    def _among(self, endpoints: Sequence[Endpoint]) -> Callable[[], Endpoint]:
        """Return a function that picks among these by the cluster's balance."""
        dice = self._env.random.random
        weights = None if self._warming is None or self._panicking else self._warming.weights(endpoints)
        if self._balance == "peak_ewma":
            return peak_ewma(endpoints, self._conducts.latencies(endpoints), dice, self._env.now, weights)
        # What has no key goes anywhere.
        return pick_random(endpoints, dice) if self._keyed else BALANCES[self._balance](endpoints, dice, weights)
