"""One line for each call that ended, written in batches off the hot path.

Outermost of every default chain, so that nothing ends a call unseen.  When a call ends, a record of it is appended to a
list, and that is all; lists are rendered 64 lines at a time (some 25 us) and written by a thread (see `logwriter`).
Rendering happens in the loop and not in the thread: under the interpreter lock a thread that renders stops the loop for
as long, and then some.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Optional, Protocol, cast

from zope.interface import implementer

from twisted_mesh.filters.log_format import TEXT, Format, TextFormat
from twisted_mesh.interfaces import Call, Env, IFilterPlugin, IPlugin, Observer
from twisted_mesh.logfile import LogFile, LogFiles
from twisted_mesh.model.units import Interval

# Lines rendered in one go.
BATCH = 64


@dataclass(frozen=True)
class AccessLogSettings:
    """`path`: a file, or "-" for the standard output.  `format`: json, text, or a line with %FIELDS%.  `slow`: if it is
    given, only calls that failed or took so long have a line.
    """

    path: str = "-"
    format: str = "json"
    slow: Optional[Interval] = None


class LogEnv(Env, Protocol):
    """The environment of this filter has the process's log files too."""

    logs: LogFiles


def _tried(call: Call) -> bool:
    """Whether a filter in shadow mode would not have let the call pass: it is tried to see that."""
    left = call.context.get("log")
    return isinstance(left, dict) and "shadow" in left


class AccessLog(Observer):
    """The filter: `_ended` appends, `flush` renders.

    `slow` are the seconds from which on a call that went well has a line; None if all calls have one.
    """

    __slots__ = ("_capture", "_file", "_files", "_format", "_now", "_records", "slow")

    def __init__(self, settings: AccessLogSettings, env: LogEnv) -> None:
        self._format = make_format(settings.format)
        self._capture = self._format.capture
        self._files = env.logs
        self._file: LogFile = env.logs.get(settings.path)
        self._now = env.now
        self._records: list[Any] = []
        self.slow = settings.slow
        self.observe = self._ended if settings.slow is None else self._looked_at
        self._set_offset()

    def _looked_at(self, call: Call) -> None:
        # What belongs to a session may wait for as long as it likes.
        slow: float = self.slow  # type: ignore[assignment]  # or it is not called
        if (
            call.flags
            or call.status >= 500
            or call.errors
            or (call.ended - call.started >= slow and getattr(call, "session", None) is None)
            or (call._context and _tried(call))
        ):
            self._ended(call)

    def _ended(self, call: Call) -> None:
        records = self._records
        records.append(self._capture(call))
        count = len(records)
        if count == 1:
            self._file.wake(self)
        elif count >= BATCH:
            self.flush()

    def flush(self) -> None:
        """Render what was gathered and pass it on."""
        records = self._records
        if not records:
            return
        self._records = []
        if self._file.full:
            self._file.lose(len(records))
        else:
            self._file.write(self._format.render(records), len(records))
        self._set_offset()

    def _set_offset(self) -> None:
        # Again and again: the wall clock may be set, and the two drift apart.
        self._format.set_offset(self._files.wall() - self._now())


def make_format(text: str) -> Format:
    """Return the format that a configuration names: ``json``, ``text``, or a line with %FIELDS%.

    :raises ValueError: the line names a field that does not exist, or has none.
    """
    if text == "json":
        # Imported here: half of what this module costs at start-up, and text formats do without.
        from twisted_mesh.filters.log_json import JsonFormat

        return JsonFormat()
    if text == "text":
        return TextFormat(TEXT)
    if "%" not in text:
        raise ValueError(f'expected json, text or a line with fields such as "%METHOD% %PATH% %STATUS%", got {text!r}')
    return TextFormat(text)


@implementer(IPlugin, IFilterPlugin)
class AccessLogPlugin:
    """Makes the access log filter.  The default chain has one; a route may have another with a file of its own."""

    name = "access_log"
    settings = AccessLogSettings
    protocols = ("http", "tcp", "redis")

    def build(self, settings: AccessLogSettings, env: Env) -> AccessLog:
        """Return a filter that writes to the file of `settings`."""
        return AccessLog(settings, cast(LogEnv, env))


plugin = AccessLogPlugin()
