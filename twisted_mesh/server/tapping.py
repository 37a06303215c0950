"""Calls as they end, for whoever looks at them: the page /tap.

While nobody does, it costs nothing: a listener that is tapped gets an observer round its chain, and loses it when the
last tap ends.
"""

from __future__ import annotations

import re
from typing import Callable, Iterator, Mapping, NamedTuple, Optional

from twisted.internet.interfaces import IDelayedCall, IReactorTime

from twisted_mesh.call import Call
from twisted_mesh.filters.log_json import JsonFormat
from twisted_mesh.interfaces import Observer
from twisted_mesh.model.units import parse_duration, parse_size
from twisted_mesh.redis_call import RedisCall
from twisted_mesh.stream import ByteStream

# Taps of a process at once.
MOST = 4
MOST_CALLS = 100_000
LONGEST = 600.0

Test = Callable[[Call], bool]


class Asked(NamedTuple):
    """What somebody wants to see: calls of one listener ("" for all) that pass every test; so many, and so long."""

    listener: str
    tests: tuple[Test, ...]
    calls: int
    seconds: float


def _name(of: Optional[object]) -> str:
    return "" if of is None else str(getattr(of, "name", ""))


def _status(text: str) -> Test:
    if re.fullmatch(r"[1-5](xx|\d\d)", text) is None:
        raise ValueError(f'status: expected a status such as 503, or 5xx, got "{text}"')
    return lambda call: str(call.status).startswith(text.rstrip("x"))


def _size(text: str) -> Test:
    try:
        least = parse_size(text)
    except ValueError as error:
        raise ValueError(f"size: {error}") from None
    return lambda call: call.bytes_in >= least or call.bytes_out >= least


def _method(text: str) -> Test:
    name = text.upper()
    return lambda call: (
        call.operation == name
        or (
            call.count > 1
            and isinstance(call, RedisCall)
            and any(call.row(at).name == name for at in range(call.count))
        )
    )


def _path(text: str) -> Test:
    key = text.encode("utf-8", "surrogateescape")
    return lambda call: (
        call.resource.startswith(text)
        or (isinstance(call, RedisCall) and any(each.startswith(key) for each in _keys(call)))
    )


def _keys(call: RedisCall) -> Iterator[bytes]:
    for at in range(call.count):
        words = call.words(at)
        # Of a large value that was passed on only the beginning is known.
        yield from [words[place] for place in call.row(at).keys(words) if place < len(words)]


# What calls can be told apart by, and how.  Of several Redis commands that are one call each counts,
# and so does each key.
TESTS: Mapping[str, Callable[[str], Test]] = {
    "protocol": lambda text: lambda call: call.protocol == text,
    "route": lambda text: lambda call: _name(call.route) == text,
    "cluster": lambda text: lambda call: _name(call.cluster) == text,
    "endpoint": lambda text: lambda call: call.endpoint is not None and call.endpoint.address == text,
    "method": _method,
    "host": lambda text: lambda call: call.host == text.lower(),
    "path": _path,
    "size": _size,
    "client": lambda text: lambda call: call.client == text,
    "flag": lambda text: lambda call: text in call.flags,
    "status": _status,
    "shadow": lambda text: lambda call: text in _shadowed(call),
}
OTHERS = ("listener", "calls", "seconds", "format")


def _shadowed(call: Call) -> Mapping[str, str]:
    left = call._context.get("log") if call._context else None
    found = left.get("shadow") if isinstance(left, dict) else None
    return found if isinstance(found, dict) else {}


def read(parameters: Mapping[str, str]) -> Asked:
    """Read what is wanted from the parameters of a request.

    :raises ValueError: that is nothing one can want.
    """
    unknown = [each for each in parameters if each not in TESTS and each not in OTHERS]
    if unknown:
        raise ValueError(f"unknown parameter {unknown[0]}; known are {', '.join((*TESTS, *OTHERS))}")
    tests = tuple(make(parameters[name]) for name, make in TESTS.items() if name in parameters)
    calls = parameters.get("calls", "1000")
    if not (calls.isascii() and calls.isdigit() and 1 <= int(calls[:9]) <= MOST_CALLS):
        raise ValueError(f'calls: expected a number from 1 to {MOST_CALLS:,}, got "{calls}"')
    seconds = parse_duration(parameters.get("seconds", "60s"))
    if not 0 < seconds <= LONGEST:
        raise ValueError("seconds: expected a duration of at most 10m")
    return Asked(parameters.get("listener", ""), tests, int(calls), seconds)


class Tap(Observer):
    """Writes a line of JSON, as the access log has it, for each call that is wanted.

    A reader that is too slow loses lines, and is told how many at the end.

    :param offset: what is added to a call's times to get seconds since the epoch.
    :param ended: is called once, when nothing more comes.
    """

    def __init__(self, asked: Asked, clock: IReactorTime, offset: float, ended: Callable[[Tap], None]) -> None:
        self.stream = ByteStream(self)
        self.observe = self._seen
        self._tests = asked.tests
        self._left = asked.calls
        self._ended: Optional[Callable[[Tap], None]] = ended
        self._format = JsonFormat()
        self._format.set_offset(offset)
        self._paused = False
        self._dropped = 0
        self._timer: Optional[IDelayedCall] = clock.callLater(asked.seconds, self.end)

    def __repr__(self) -> str:
        return f"<Tap {self._left} left, {self._dropped} dropped>"

    def _seen(self, call: Call) -> None:
        if self._ended is None or not all(test(call) for test in self._tests):
            return
        if self._paused:
            self._dropped += 1
            return
        self._left -= 1
        self.stream.write(self._format.render([self._format.capture(call)]))
        if self._left <= 0:
            self.end()

    def end(self) -> None:
        """Nothing more comes."""
        if self._dropped:
            self.stream.write(b'{"dropped":%d}\n' % self._dropped)
        self.stream.end()
        self.stopProducing()

    def pauseProducing(self) -> None:
        """Write nothing for now."""
        self._paused = True

    def resumeProducing(self) -> None:
        """Go on."""
        self._paused = False

    def stopProducing(self) -> None:
        """Nobody wants the rest."""
        if self._timer is not None and self._timer.active():
            self._timer.cancel()
        self._timer = None
        ended, self._ended = self._ended, None
        if ended is not None:
            ended(self)
