"""One command's talk with the Redis of its mesh.

What is imported late is not needed by commands that talk to no Redis; `meshctl run` stays in memory for long.
"""

from __future__ import annotations

import argparse
import getpass
import os
import random
import socket
import time
from typing import TYPE_CHECKING, Any, Callable, Coroutine, Mapping, NamedTuple, Optional

from twisted_mesh.cli.failure import BUS, NO, USAGE, Failure

if TYPE_CHECKING:
    from twisted_mesh.bus.client import Redis
    from twisted_mesh.bus.keys import Keys
    from twisted_mesh.bus.overrides import Overrides
    from twisted_mesh.bus.registry import ServiceRegistry
    from twisted_mesh.bus.store import ConfigStore
    from twisted_mesh.model.redis import Redis as Settings

# Seconds to get a connection: a Redis that is slower than this is away.
CONNECT_LIMIT = 3.0
# What the connection says before the first try has ended.
NOT_YET = "not connected yet"
# Seconds after which what went wrong with each try so far is what is wrong, but for Sentinels, who may be changing.
TRY_LIMIT = 0.7


class Session(NamedTuple):
    """What a command works with, while the reactor runs."""

    name: str
    keys: Keys
    redis: Redis
    registry: ServiceRegistry
    store: ConfigStore
    overrides: Overrides
    reactor: Any
    wall: Callable[[], float]


Work = Callable[[Session], Coroutine[Any, Any, int]]


def with_mesh(arguments: argparse.Namespace, work: Work) -> int:
    """Connect, do `work`, and return its status.

    :raises Failure: the Redis cannot be reached or refuses, or the store says no.
    """
    settings, name = mesh_of(arguments, os.environ)
    done: list[int] = []
    trouble: list[BaseException] = []

    async def begin(reactor: Any) -> None:
        try:
            done.append(await _in_session(reactor, settings, name, work))
        except Exception as error:
            trouble.append(error)

    on_reactor(begin)
    if trouble:
        raise _failure(trouble[0])
    if not done:
        raise KeyboardInterrupt
    return done[0]


def on_reactor(begin: Callable[[Any], Coroutine[Any, Any, None]]) -> None:
    """Run the reactor until `begin` has ended, or until SIGINT or SIGTERM."""
    from twisted.internet.defer import Deferred
    from twisted.internet.task import react

    try:
        react(lambda reactor: Deferred.fromCoroutine(begin(reactor)))
    except SystemExit:
        # react ends a process; here the command does.
        return


async def _in_session(reactor: Any, settings: Settings, name: str, work: Work) -> int:
    from twisted_mesh.bus.access import Access
    from twisted_mesh.bus.client import Redis
    from twisted_mesh.bus.keys import Keys
    from twisted_mesh.bus.overrides import Overrides
    from twisted_mesh.bus.registry import ServiceRegistry
    from twisted_mesh.bus.store import ConfigStore
    from twisted_mesh.metrics import Registry

    metrics, dice, keys = Registry(), random.Random(), Keys(name)
    redis = Redis(settings, reactor=reactor, random=dice, metrics=metrics, now=reactor.seconds, mesh=name)
    wall = time.time  # noqa: TID251 (an edge: here the time comes in)
    access = Access(redis, None, keys, reactor, dice, wall, metrics)
    registry, overrides = ServiceRegistry(access), Overrides(access)
    store = ConfigStore(redis, keys, clock=reactor)
    redis.start()
    try:
        await _connected(redis, settings)
        return await work(Session(name, keys, redis, registry, store, overrides, reactor, wall))
    finally:
        await redis.stop()


async def _connected(redis: Redis, settings: Settings) -> None:
    """Wait for the connection, no longer than it makes sense.

    :raises BusError: there is none, and why.
    """
    from twisted_mesh.bus.errors import BusError

    try:
        await redis.up(TRY_LIMIT)
    except BusError:
        if redis.trouble != NOT_YET and settings.url.scheme != "sentinel":
            raise
    try:
        await redis.up(CONNECT_LIMIT - TRY_LIMIT)
    except BusError as error:
        if redis.trouble != NOT_YET:
            raise
        raise BusError("timeout", f"no answer within {CONNECT_LIMIT:g} s", server=settings.url.shown) from error


def _failure(error: BaseException) -> BaseException:
    """Return what ends the command: a line and a status for what is known to happen, else the error itself."""
    from twisted_mesh.bus.errors import BusError
    from twisted_mesh.bus.store_errors import CanaryOpen, Conflict, StoreError

    if isinstance(error, BusError):
        return Failure(str(error), BUS, {"error": str(error), "kind": error.kind, "code": error.code})
    if isinstance(error, Conflict):
        clashes = [{name: getattr(each, name) for name in each.__struct_fields__} for each in error.clashes]
        return Failure(str(error), NO, {"error": str(error), "conflict": clashes})
    if isinstance(error, CanaryOpen):
        return Failure(str(error), NO, {"error": str(error), "canary": True})
    if isinstance(error, (StoreError, ValueError)):
        return Failure(str(error), NO, {"error": str(error)})
    return error


# --- which mesh, and who asks


def mesh_of(arguments: argparse.Namespace, env: Mapping[str, str]) -> tuple[Settings, str]:
    """Return where the Redis is, and the name of the mesh.

    :raises Failure: the command line does not say, or what it says makes no sense.
    """
    from twisted_mesh.model.base import check_name
    from twisted_mesh.model.redis import Redis, parse

    given, source = arguments.redis, "--redis"
    if not given:
        given, source = env.get("MESHCTL_REDIS"), "MESHCTL_REDIS"
    if not given:
        raise Failure("say where the Redis of the mesh is: --redis URL, or MESHCTL_REDIS in the environment", USAGE)
    name = arguments.mesh or env.get("MESHCTL_MESH") or "default"
    try:
        check_name(name)
    except ValueError as error:
        raise Failure(f"{'--mesh' if arguments.mesh else 'MESHCTL_MESH'}: {error}", USAGE) from None
    try:
        settings = parse(given)
        over = {key: value for key, value in _tls(arguments, env).items() if value}
        if over:
            settings = Redis.model_validate({"url": settings.url, **over}, strict=False)
    except ValueError as error:
        raise Failure(f"{source}: {_first_line(error)}", USAGE) from None
    return (_embedded(name, settings) if settings.embedded else settings), name


def _embedded(mesh: str, settings: Settings) -> Settings:
    """Return how the server is reached that a sidecar of this mesh has started on this machine."""
    from twisted_mesh.model.redis import EMBEDDED_SOCKET, Redis, RedisUrl, embedded_directory

    path = os.path.join(embedded_directory(mesh), EMBEDDED_SOCKET)
    if not os.path.exists(path):
        raise Failure(
            f"no sidecar of the mesh {mesh} runs an embedded Redis here: there is no {path}; where `state` says "
            "another directory, name the socket: unix:///DIRECTORY/redis/redis.sock",
            BUS,
        )
    username, password = settings.login
    return Redis(url=RedisUrl.parse(f"unix://{path}"), username=username, password=password)


def _tls(arguments: argparse.Namespace, env: Mapping[str, str]) -> dict[str, Optional[str]]:
    found = {}
    for name in ("ca", "certificate", "key"):
        path = getattr(arguments, name) or env.get(f"MESHCTL_{name.upper()}")
        found[name] = os.path.abspath(path) if path else None
    return found


def _first_line(error: ValueError) -> str:
    problems: Any = getattr(error, "errors", None)
    if problems is None:
        return str(error)
    return str(problems()[0]["msg"]).removeprefix("Value error, ")


def author_of(arguments: argparse.Namespace, env: Mapping[str, str]) -> str:
    """Return who changes something."""
    given = arguments.author or env.get("MESHCTL_AUTHOR")
    if given:
        return str(given)
    try:
        user = getpass.getuser()
    except (KeyError, OSError):
        # A user without a name, as in a container.
        user = str(os.getuid())
    return f"{user}@{socket.gethostname()}"
