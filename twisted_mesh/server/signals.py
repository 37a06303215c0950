"""What signals do, in the place of what Twisted and twistd would have them do.

Twisted stops the reactor at SIGTERM, twistd then ends with status 143, and a second SIGTERM raises inside the reactor.
So ours are installed after the reactor has installed its own.
"""

from __future__ import annotations

import signal
from typing import Any, Callable, Mapping

Act = Callable[[], None]


class _Nothing:
    """Does nothing at a signal, and counts as nobody: twistd has its log rotated at SIGUSR1 if nobody minds that."""

    def __bool__(self) -> bool:
        return False

    def __call__(self, number: int, frame: Any) -> None:
        """Log files are opened when the mesh starts, so there is none to open anew."""


def ignore_until_started() -> None:
    """Keep signals that mean something only to a running mesh from ending one that is starting."""
    for number, handler in ((signal.SIGHUP, signal.SIG_IGN), (signal.SIGUSR1, _Nothing())):
        if signal.getsignal(number) is signal.SIG_DFL:
            signal.signal(number, handler)


def install(reactor: Any, acts: Mapping[int, Act]) -> Callable[[], None]:
    """Have each act run in the reactor's thread, not inside the signal; returns what puts back the handlers before.

    Somebody else's SIGUSR1 (twistd rotates its own log then) is called as well.
    """
    before = {number: signal.getsignal(number) for number in acts}
    for number, act in acts.items():
        earlier = before[number] if number == signal.SIGUSR1 else None
        signal.signal(number, _handler(reactor, act, earlier))

    def restore() -> None:
        for number, earlier in before.items():
            signal.signal(number, signal.SIG_DFL if earlier is None else earlier)

    return restore


def _handler(reactor: Any, act: Act, earlier: Any) -> Callable[[int, Any], None]:
    def received(number: int, frame: Any) -> None:
        reactor.callFromThread(act)
        if callable(earlier):
            earlier(number, frame)

    return received
