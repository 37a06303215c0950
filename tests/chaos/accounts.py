"""What clients saw is held against the access log, and that against the metrics."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Iterator, Mapping

from tests.chaos.clients import Account
from tests.chaos.link import Tally
from tests.support import Mesh, until

Counted = Counter[tuple[str, ...]]


class Logged:
    """What stands in an access log, which is read as it grows."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._read = 0
        # Operations by protocol, listener and class of the status; HTTP calls by their id.
        self.counts: Counted = Counter()
        self.times: Counter[str] = Counter()
        self.statuses: dict[str, int] = {}
        # Connections of TCP, and commands of Redis by listener.
        self.tcp = 0
        self.redis: Counter[str] = Counter()

    def read(self) -> None:
        """Read what has been written since."""
        with open(self._path, "rb") as file:
            file.seek(self._read)
            for line in file:
                if not line.endswith(b"\n"):
                    break
                self._read += len(line)
                self._take(json.loads(line))

    def _take(self, entry: dict[str, object]) -> None:
        protocol, count, status = str(entry["protocol"]), int(str(entry.get("count", 1))), int(str(entry["status"]))
        self.counts[protocol, str(entry["listener"]), f"{status // 100}xx" if status else "-"] += count
        if protocol == "http":
            self.times[str(entry["id"])] += 1
            self.statuses[str(entry["id"])] = status
        elif protocol == "redis":
            self.redis[str(entry["listener"])] += count
        else:
            self.tcp += 1


def samples(mesh: Mesh, name: str, *labels: str) -> Counted:
    """Return the samples of a metric, summed by these labels."""
    found: Counted = Counter()
    for line in mesh.get("/metrics").text.splitlines():
        if line.startswith(name + "{"):
            pairs = dict(each.split("=", 1) for each in line[line.index("{") + 1 : line.rindex("}")].split(","))
            found[tuple(pairs[each].strip('"') for each in labels)] += int(float(line.rsplit(" ", 1)[1]))
    return found


def check(mesh: Mesh, log: Path, account: Account, tallies: Mapping[str, Tally]) -> list[str]:
    """Return what does not agree, a line each."""
    logged = Logged(log)
    counted = samples(mesh, "twisted_mesh_downstream_calls_total", "protocol", "listener", "code")

    def written() -> bool:
        logged.read()
        return sum(logged.counts.values()) >= sum(counted.values())

    try:
        until(written, f"{sum(counted.values())} operations in the access log")
    except AssertionError as error:
        return [str(error), f"{dict(logged.counts)} in the access log, {dict(counted)} in the metrics"]
    wrong = [
        f"{key}: {logged.counts[key]} in the access log, {counted[key]} in the metrics"
        for key in logged.counts.keys() | counted.keys()
        if logged.counts[key] != counted[key]
    ]
    lost = samples(mesh, "twisted_mesh_access_log_dropped_total", "path")
    wrong += [f"{count} lines of {path[0]} were dropped" for path, count in lost.items() if count]
    return [*wrong, *_http(account, logged), *_tcp(account, logged), *_redis(mesh, tallies, logged)]


def _http(account: Account, logged: Logged) -> Iterator[str]:
    for call in account.lost:
        yield f"{call} was not answered within a minute"
    for call, seen in account.http.items():
        times = logged.times[call]
        if times != 1 and not (seen is None and times == 0):
            yield f"{call} stands {times} times in the access log; its client saw {seen}"
        elif seen and logged.statuses[call] != seen:
            yield f"{call} has the status {logged.statuses[call]} in the access log; its client saw {seen}"
    for call in logged.times:
        if call not in account.http:
            yield f"{call} is in the access log, and nobody made it"


def _tcp(account: Account, logged: Logged) -> Iterator[str]:
    made = account.tcp["connected"]
    if not made <= logged.tcp <= made + account.tcp["not connected"]:
        yield f"{made} connections of TCP were made, {logged.tcp} are in the access log"


def _redis(mesh: Mesh, tallies: Mapping[str, Tally], logged: Logged) -> Iterator[str]:
    commands = samples(mesh, "twisted_mesh_redis_commands_total", "listener", "command")
    errors = samples(mesh, "twisted_mesh_redis_errors_total", "listener", "command")
    for name, tally in tallies.items():
        yield from tally.wrong
        for command in {*tally.sent, *(each for listener, each in commands if listener == name)}:
            sent, unheard, failed = tally.sent[command], tally.unheard[command], tally.errors[command]
            seen = commands[name, command]
            if not sent - unheard <= seen <= sent:
                yield f"{name}: {command}: {sent} were sent, {unheard} of them unheard, {seen} are in the metrics"
            seen = errors[name, command]
            if not failed <= seen <= failed + unheard:
                yield f"{name}: {command}: {failed} errors were heard, {unheard} unheard, {seen} are in the metrics"
        total = sum(count for (listener, _), count in commands.items() if listener == name)
        if logged.redis[name] > total:
            yield f"{name}: {logged.redis[name]} commands in the access log, {total} in the metrics"
