"""What would become of one imaginary call: the live routes, filters and clusters are asked, and nothing is sent.

Each of them says what it would do by the code with which it does it; see `interfaces.Explaining`, `Route.aim`,
`Picks.peek`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Optional, Sequence

from twisted_mesh.call import Call
from twisted_mesh.codec.command_kinds import Kind as Where
from twisted_mesh.errors import MeshError
from twisted_mesh.filters.answers import FixedReply, Redirect
from twisted_mesh.filters.timeout import timeout
from twisted_mesh.interfaces import Explanation, Filter, Observer
from twisted_mesh.policy.match import compile_match
from twisted_mesh.shadow import Sampled, Shadow

if TYPE_CHECKING:
    from twisted_mesh.control.listener import LiveListener
    from twisted_mesh.control.world import World
    from twisted_mesh.filters.route import Route, Table
    from twisted_mesh.upstream.cluster import Cluster

Shown = dict[str, Any]


class Walk:
    """Takes one call through the chain of its listener; `run` returns what there is to show."""

    def __init__(self, world: World, listener: LiveListener, call: Call) -> None:
        self._world = world
        self._listener = listener
        self._call = call
        # Why the call would go no further; "" while it would.
        self._ended = ""
        self._filters: list[Shown] = []

    def run(self) -> Shown:
        """Return every decision, in the order in which they fall."""
        chain = self._listener.chain
        assert chain is not None, "a listener in force has a chain"
        asked = _asked(self._call)
        self._through("listener", chain.layers)
        route: Optional[Route] = None
        about: Shown = {"cluster": None, "candidates": [], "choice": None, "why": ""}
        try:
            route = chain.table.find(self._call)
        except MeshError as error:
            self._end(_refusal(error))
        about["above"] = self._above(chain.table.routes, route)
        about["divided"] = self._divided(chain.table)
        if route is not None:
            about["route"] = self._route(route)
            kept_from = self._enter(route)
            self._through("route", route.layers)
            about.update(self._inside(route, kept_from))
        return {
            "call": asked,
            "listener": self._listener.name,
            "route": None,
            **about,
            "filters": self._filters,
            "outcome": self._ended or f"goes to {about['choice']}, {about['why']}",
        }

    def _end(self, why: str) -> None:
        self._ended = self._ended or why

    # --- filters

    def _through(self, where: str, layers: Sequence[tuple[str, Filter]]) -> None:
        for name, each in layers:
            told = explanation(each, self._call)
            mode = "shadow" if isinstance(each, Shadow) else "enforce"
            shown = {"name": name, "chain": where, "mode": mode, "reached": not self._ended, **told._asdict()}
            self._filters.append(shown)
            if mode == "enforce" and told.verdict in ("refuse", "reply"):
                self._end(f"{'refused' if told.verdict == 'refuse' else 'answered'} by {name}: {told.why}")

    # --- the route

    def _above(self, routes: Sequence[Route], found: Optional[Route]) -> list[Shown]:
        """Return the routes further up that match but for their dice, which may fall otherwise for another call."""
        above = []
        for each in routes:
            if each is found:
                break
            asked = each.conditions
            if 0.0 < asked.percent < 100.0:
                test = compile_match(asked._replace(percent=100.0))
                if test is None or test(self._call):
                    above.append({"name": each.name, "percent": asked.percent})
        return above

    def _divided(self, table: Table) -> list[Shown]:
        """Return the shares of a command of Redis whose keys belong to several clusters; what follows is the first."""
        call: Any = self._call
        if not table.divides or not call.body:
            return []
        from twisted_mesh.filters.redis_divide import Divided

        shares = Divided(table, table.alike, self._world.env).shares(call)
        if len(shares) < 2:
            return []
        if call.command.kind is not Where.SPLIT:
            self._end("refused with CROSSSLOT: its keys belong to different clusters")
        shown = []
        for keys in shares:
            call.key, call._resource = keys[0], None
            try:
                name = table.find(call).name
            except MeshError:
                name = None
            shown.append({"keys": [key.decode("utf-8", "backslashreplace") for key in keys], "route": name})
        call.key, call._resource = shares[0][0], None
        return shown

    def _route(self, route: Route) -> Shown:
        limits = ("timeout", "idle_timeout", "max_duration", "body_limit")
        return {
            "name": route.name,
            "targets": [{"cluster": each.cluster.name, "weight": each.weight} for each in route.targets],
            "percent": route.conditions.percent,
            "priority": route.priority,
            **{each: getattr(route, each) for each in limits},
        }

    def _enter(self, route: Route) -> str:
        """Do to the call what the table does before the route's own chain; returns the cluster it is kept from."""
        call = self._call
        call.route = route
        call.timeout = route.timeout
        try:
            if route.limits:
                route.limit(call)
        except MeshError as error:
            self._end(_refusal(error))
        kept_from = route.aim(call)
        return "" if kept_from is None else kept_from.name

    def _inside(self, route: Route, kept_from: str) -> Shown:
        """Return what stands in the middle of the chain: an answer of the mesh's own, or a cluster."""
        innermost, call = route.innermost, self._call
        try:
            call.check_body()
        except MeshError as error:
            self._end(_refusal(error))
        if isinstance(innermost, FixedReply):
            self._end(f"answered by the route: {innermost.status}")
        elif isinstance(innermost, Redirect):
            try:
                self._end(f"redirected by the route: {innermost.status} {innermost.location(call)}")
            except MeshError as error:
                self._end(_refusal(error))
        cluster: Any = call.cluster
        return {} if cluster is None else self._cluster(cluster, kept_from)

    # --- the cluster

    def _cluster(self, cluster: Cluster, kept_from: str) -> Shown:
        choice, why = self._choice(cluster)
        room, connections = cluster.room, cluster.connection_limits.of(self._call.priority)
        return {
            "cluster": {
                "name": cluster.name,
                "balance": cluster.config.balance,
                "instead_of": kept_from,
                "trouble": cluster.trouble,
                "panicking": cluster.panicking,
                "maintenance": cluster.switch.describe(),
                **cluster.picks.describe(),
                "room": None if room is None else room.of(self._call).describe(),
                "connections": None if connections is None else connections.describe(),
            },
            "candidates": candidates(cluster),
            "choice": choice,
            "why": why,
        }

    def _choice(self, cluster: Cluster) -> tuple[Optional[str], str]:
        try:
            found, why = self._world.peek(cluster, self._call)
        except MeshError as error:
            self._end(_refusal(error))
            return None, str(error)
        return found.address, why


def explanation(each: Filter, call: Call) -> Explanation:
    """Return what a filter would do to a call, whatever is round it."""
    if isinstance(each, Shadow):
        # It sees a copy, as it does of real calls.
        return _share(explanation(each.inner, call.twin()), each.percent, "tried on")
    if isinstance(each, Sampled):
        return _share(explanation(each.inner, call.twin()), each.percent, "in force for")
    if isinstance(each, Observer):
        return Explanation("pass", "only looks on")
    if each is timeout:
        return Explanation("pass", "" if call.timeout is None else f"the reply has to begin within {call.timeout:g} s")
    told: Any = getattr(each, "explain", None)
    if told is None:
        return Explanation("unknown", "it does not say")
    try:
        found: Explanation = told(call)
    except MeshError as error:
        return Explanation("refuse", _refusal(error))
    return found


def _share(told: Explanation, percent: float, what: str) -> Explanation:
    if percent >= 100.0:
        return told
    verdict = told.verdict if told.verdict in ("pass", "unknown") else "maybe"
    return Explanation(verdict, f"{what} {percent:g} % of the calls: {told.verdict} {told.why}".rstrip())


def candidates(cluster: Cluster) -> list[Shown]:
    """Return every endpoint of a cluster: whether it takes calls, by which rule not, until when, and its score."""
    picks = cluster.picks
    found = []
    for each in cluster.endpoints:
        about = each.describe()
        rule, why, until = standing(cluster, about, rests=picks.resting(each), trial=each in cluster.trials)
        score = picks.score(each)
        found.append(
            {
                "address": each.address,
                "in": each in cluster.usable or each in cluster.trials,
                "rule": rule,
                "why": why,
                "until": until,
                "score": None if score is None else round(score, 6),
                "active": each.active,
                "weight": each.weight,
                "zone": each.zone,
                "conduct": about["conduct"],
            }
        )
    return found


def standing(cluster: Cluster, about: Shown, *, rests: bool, trial: bool) -> tuple[str, str, Optional[float]]:
    """Return the rule by which an endpoint is in or out, what there is to say of it, and until when."""
    conduct: Shown = about["conduct"] or {}
    breaker, outlier, override = conduct.get("breaker"), conduct.get("outlier"), about["override"]
    if about["out"]:
        if override is None:
            return "registry", str(about["out"]), None
        remembered = " (remembered from disk)" if override["remembered"] else ""
        return "override", f"{about['out']}{remembered}", override["until"]
    if about["state"] == "unhealthy":
        return ("panic" if cluster.panicking else "health check"), str(about["reason"]), None
    if breaker and breaker["state"] != "closed":
        return "breaker", conduct["held"], breaker["until"] if breaker["state"] == "open" else None
    if outlier and outlier["ejected"]:
        return "outlier", conduct["held"], outlier["until"]
    if rests:
        return "resting", "it could not be connected to a moment ago", None
    if trial:
        return "trial", "one call is to find out", None
    if override is not None and override["kind"] == "weight":
        reason = f": {override['reason']}" if override["reason"] else ""
        return "override", f"weight {override['weight']} by {override['author'] or 'nobody'}{reason}", override["until"]
    return "", str(about["doubt"] or about["reason"]), None


def _asked(call: Call) -> Shown:
    headers = [f"{name.decode('latin-1')}: {value.decode('latin-1')}" for name, value, *_ in call.headers.fields]
    shown = ("protocol", "operation", "host", "resource", "query", "client")
    return {**{each: getattr(call, each) for each in shown}, "identity": call.identity, "headers": headers}


def _refusal(error: MeshError) -> str:
    return f"refused, {error.kind.value}: {error.detail}" if error.detail else f"refused, {error.kind.value}"
