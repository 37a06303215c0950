"""What the admin answers, page by page.

Reading is GET; what changes something is POST, and a GET of it is a 405.  Every page comes as text or as JSON: by
``?format=text`` or ``?format=json``, else by what the client accepts, else as text.

The admin asks nobody who they are: whoever reaches its address may do everything.  What it does see to is that no web
page makes an operator's browser do it: a POST with an Origin is refused (browsers send one with every POST that a page
makes), and so is one whose Host is a name other than localhost (a page whose name was bound anew to our address is of
one origin with us, but its name is still in Host).
"""

from __future__ import annotations

import asyncio
import ipaddress
import time
from itertools import chain
from typing import Any, Awaitable, Callable, Mapping, NamedTuple, Optional, Protocol, Sequence
from urllib.parse import parse_qsl

from twisted.internet.interfaces import IReactorTime

from twisted_mesh.call import Call, Reply
from twisted_mesh.control.world import World
from twisted_mesh.exposition import CONTENT_TYPE
from twisted_mesh.headers import Headers
from twisted_mesh.metrics import Registry
from twisted_mesh.server import explain, explain_text, texts
from twisted_mesh.server.levels import EVERYTHING, Levels
from twisted_mesh.server.pieces import Pieces
from twisted_mesh.server.secrets import Secrets

READ = ("GET", "HEAD")


class Shown(Protocol):
    """The process, as the admin sees it."""

    registry: Registry
    world: World
    secrets: Secrets

    def ready(self) -> tuple[bool, str]:
        """Whether calls should be sent here, and why not."""

    @property
    def refused(self) -> str:
        """Why the newest configuration was refused; "" if it was not."""

    def bus_state(self) -> Optional[Mapping[str, object]]:
        """What there is to say of the mesh's Redis; None where the configuration names none."""

    def origins(self) -> Mapping[str, str]:
        """Where each resource of the configuration in force comes from, by its name; empty if all are the file's."""

    def drain(self, reason: str) -> None:
        """End gently."""


class Asked(NamedTuple):
    """A request, as pages see it."""

    method: str
    parameters: Mapping[str, str]
    json: bool


Page = Callable[[Asked], Awaitable[Reply]]


class _Entry(NamedTuple):
    methods: Sequence[str]
    says: str
    page: Page


class Pages:
    """The pages of one process; a chain, so that an adapter can serve it."""

    def __init__(self, shown: Shown, levels: Levels, clock: IReactorTime, loop: asyncio.AbstractEventLoop) -> None:
        self._shown = shown
        self._levels = levels
        self._clock = clock
        self._loop = loop
        # How many are open.
        self._taps = 0
        self._pages = {
            "/": _Entry(READ, "this list", self._index),
            "/ready": _Entry(READ, "200 if calls should be sent here, else 503 and why not", self._ready),
            "/live": _Entry(READ, "200 while the process answers at all", self._live),
            "/metrics": _Entry(READ, "metrics in the Prometheus text format", self._metrics),
            "/config": _Entry(READ, "the configuration that is in force, without its secrets", self._config),
            "/clusters": _Entry(READ, "clusters and the state of each endpoint", self._clusters),
            "/explain": _Entry(
                READ, "what would become of ?method=GET&target=URL, or KEY; nothing is sent", self._explain
            ),
            "/explain/endpoint": _Entry(
                READ, "why endpoints are in or out; of ?cluster=NAME, at ?address=HOST:PORT", self._explain_endpoint
            ),
            "/tap": _Entry(("GET",), "calls as they end, as JSON lines; ?status=5xx and others", self._tap),
            "/listeners": _Entry(READ, "listeners, their addresses and connections", self._listeners),
            "/drain": _Entry(("POST",), "end gently: finish what is in flight, then stop the process", self._drain),
            "/logging": _Entry(
                (*READ, "POST"), "log levels; POST ?level=debug sets one, for all or for ?namespace=NAME", self._logging
            ),
        }

    async def __call__(self, call: Call) -> Reply:
        """Answer one request."""
        entry = self._pages.get(call.resource)
        parameters = dict(parse_qsl(call.query, keep_blank_values=True))
        asked = Asked(call.operation, parameters, _wants_json(parameters, call.headers))
        if parameters.get("format") not in (None, "json", "text"):
            return said(400, "the format is json or text", asked)
        if entry is None:
            return self._list(404, f"there is no {call.resource}", asked)
        if asked.method not in entry.methods:
            reply = said(405, f"{call.resource} takes {' and '.join(entry.methods)}", asked)
            reply.headers.set("Allow", ", ".join(entry.methods))
            return reply
        why = "" if asked.method in READ else _suspicious(call)
        return said(403, why, asked) if why else await entry.page(asked)

    # --- reading

    async def _index(self, asked: Asked) -> Reply:
        return self._list(200, "the admin of a twisted_mesh sidecar", asked)

    def _list(self, status: int, title: str, asked: Asked) -> Reply:
        if asked.json:
            pages = [{"path": path, "methods": each.methods, "says": each.says} for path, each in self._pages.items()]
            return as_json({"result": title, "pages": pages}, status)
        rows = [[path, "/".join(each.methods), each.says] for path, each in self._pages.items()]
        return as_text(f"{title}\n\n{texts.table(rows)}", status)

    async def _ready(self, asked: Asked) -> Reply:
        ready, why = self._shown.ready()
        status, bus = (200 if ready else 503), self._shown.bus_state()
        if bus is None:
            return said(status, why, asked)
        if asked.json:
            return as_json({"result": why, "bus": bus}, status)
        # Redis being away does not make a sidecar unready: it goes on with what it has.
        return as_text(f"{why}\nredis: {bus['trouble']}" if bus["trouble"] else why, status)

    async def _live(self, asked: Asked) -> Reply:
        return said(200, "live", asked)

    async def _metrics(self, asked: Asked) -> Reply:
        # In a thread: importing prometheus_client takes 0.1 s, and listing 10,000 open files some milliseconds.
        process = await self._loop.run_in_executor(None, _process_metrics)
        pieces = Pieces(chain(self._shown.registry.slices(), [process]), self._clock)
        return Reply(200, _headers(CONTENT_TYPE), pieces.stream, local=True)

    async def _config(self, asked: Asked) -> Reply:
        world = self._shown.world
        config: Any = world.config
        about: dict[str, object] = {"version": world.version, "refused": self._shown.refused}
        bus = self._shown.bus_state()
        if bus is not None:
            about.update(bus=bus, resources=self._shown.origins())
        # In a thread: a mesh of 2,000 resources takes a second to be written as YAML.  A configuration never changes.
        show = texts.config_as_json if asked.json else texts.config_as_text
        secrets = self._shown.secrets
        body = await self._loop.run_in_executor(None, lambda: show(about, config, secrets.hiding()))
        return as_body(body, asked.json)

    async def _clusters(self, asked: Asked) -> Reply:
        clusters = [each.describe() for each in self._shown.world.clusters.values()]
        return as_json({"clusters": clusters}) if asked.json else as_text(texts.clusters(clusters))

    async def _tap(self, asked: Asked) -> Reply:
        # Imported when somebody looks: it brings what makes lines of the log.
        from twisted_mesh.server import tapping

        try:
            wanted = tapping.read(asked.parameters)
        except ValueError as error:
            return said(400, str(error), asked)
        tapped = [each for each in self._shown.world.everyone if wanted.listener in ("", each.name)]
        if not tapped:
            return said(404, f"there is no listener {wanted.listener}", asked)
        if self._taps >= tapping.MOST:
            return said(503, f"{self._taps} taps are open already", asked)

        def ended(tap: tapping.Tap) -> None:
            self._taps -= 1
            for each in tapped:
                each.untap(tap)

        tap = tapping.Tap(wanted, self._clock, time.time() - time.monotonic(), ended)
        self._taps += 1
        for each in tapped:
            each.tap(tap)
        return Reply(200, _headers("application/x-ndjson"), tap.stream, local=True)

    async def _listeners(self, asked: Asked) -> Reply:
        world = self._shown.world
        listeners = [{**each.describe(), "leaving": each in world.leaving} for each in world.everyone]
        return as_json({"listeners": listeners}) if asked.json else as_text(texts.listeners(listeners))

    async def _explain(self, asked: Asked) -> Reply:
        return self._explained(explain.call, explain_text.call, asked)

    async def _explain_endpoint(self, asked: Asked) -> Reply:
        return self._explained(explain.endpoint, explain_text.endpoint, asked)

    def _explained(
        self,
        explained: Callable[[World, Mapping[str, str]], Mapping[str, Any]],
        text: Callable[[Mapping[str, Any]], str],
        asked: Asked,
    ) -> Reply:
        try:
            found = explained(self._shown.world, asked.parameters)
        except ValueError as error:
            return said(400, str(error), asked)
        return as_json(found) if asked.json else as_text(text(found))

    # --- changing

    async def _drain(self, asked: Asked) -> Reply:
        self._shown.drain("asked by the admin")
        return said(202, "draining", asked)

    async def _logging(self, asked: Asked) -> Reply:
        if asked.method == "POST":
            level = asked.parameters.get("level")
            if level is None:
                return said(400, "say ?level=, and ?namespace= if it is not for all", asked)
            try:
                self._levels.set(asked.parameters.get("namespace", EVERYTHING), level)
            except ValueError as error:
                return said(400, str(error), asked)
        levels = self._levels.show()
        if asked.json:
            return as_json({"levels": levels})
        return as_text(texts.table([[name or "(everything)", level] for name, level in levels.items()]))


def _process_metrics() -> bytes:
    """Return what prometheus_client knows of the process, and what filters registered there."""
    from prometheus_client import REGISTRY, generate_latest

    return generate_latest(REGISTRY)


def _suspicious(call: Call) -> str:
    """Return why a POST may come from a web page, or ""."""
    if "origin" in call.headers:
        return "refused: the request has an Origin, so a web page may have sent it"
    host = call.host.strip("[]")
    if host in ("", "localhost"):
        return ""
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return f"refused: use the address instead of the name {call.host!r}, which a web page might have bound to it"
    return ""


def _wants_json(parameters: Mapping[str, str], headers: Headers) -> bool:
    form = parameters.get("format")
    if form is not None:
        return form == "json"
    weights = {"application/json": 0.0, "text/plain": 0.0}
    for each in ",".join(headers.get_all("accept")).split(","):
        kind, _, rest = each.strip().lower().partition(";")
        weights[kind.strip()] = _weight(rest)
    return weights["application/json"] > max(weights["text/plain"], weights.get("text/*", 0.0))


def _weight(parameters: str) -> float:
    for each in parameters.split(";"):
        name, _, value = each.partition("=")
        if name.strip() == "q":
            try:
                return float(value)
            except ValueError:
                return 0.0
    return 1.0


# --- replies


def said(status: int, text: str, asked: Asked) -> Reply:
    """Return a reply of one line."""
    return as_json({"result": text}, status) if asked.json else as_text(text, status)


def as_json(value: object, status: int = 200) -> Reply:
    """Return a JSON reply."""
    return as_body(texts.json_text(value), True, status)


def as_text(text: str, status: int = 200) -> Reply:
    """Return a text reply."""
    return as_body(text, False, status)


def as_body(text: str, json: bool, status: int = 200) -> Reply:
    """Return a reply with this body."""
    body = text if text.endswith("\n") else text + "\n"
    return Reply(
        status, _headers("application/json" if json else "text/plain; charset=utf-8"), body.encode(), local=True
    )


def _headers(content_type: str) -> Headers:
    return Headers.of(
        [("Content-Type", content_type), ("Cache-Control", "no-store"), ("X-Content-Type-Options", "nosniff")]
    )
