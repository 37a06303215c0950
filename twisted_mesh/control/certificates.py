"""The certificates of live listeners: read for each change, and again when their files change."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Iterable, Iterator, Optional, Sequence

from twisted.logger import Logger

from twisted_mesh.errors import ConfigError, Problem
from twisted_mesh.families import Families
from twisted_mesh.sweep import Sweep

if TYPE_CHECKING:
    from twisted_mesh import model
    from twisted_mesh.control.listener import LiveListener
    from twisted_mesh.control.world import World
    from twisted_mesh.net.certificates import CertificateError, FileState, Served

log = Logger()

# Seconds between two looks at the files.
INTERVAL = 1.0


def protocols_of(listener: model.Listener) -> Sequence[str]:
    """Return what a listener speaks over TLS, by its names in ALPN."""
    return ("http/1.1",) if listener.protocol == "http" or listener.tls is None else listener.tls.alpn


def served_for(name: str, listener: model.Listener, live: Optional[LiveListener]) -> Optional[Served]:
    """Return what a listener makes handshakes with; None if it speaks no TLS.

    :param live: the listener as it runs.  Where it has these settings already, and their files are not good any more,
        what was read before stays.
    :raises ConfigError: it has not, and they are not.
    """
    # Late: most listeners have none.
    from twisted_mesh.net.certificates import CertificateError, serve

    tls = listener.tls
    if tls is None:
        return None
    before = None if live is None else live.served
    try:
        return serve(tls, protocols_of(listener), before)
    except CertificateError as error:
        if live is None or before is None or live.config.tls != tls:
            raise ConfigError([Problem(f"listeners.{name}.tls{_path(error)}", 0, 0, "", str(error))]) from error
        _refused(live, error)
        return before


def unusable(config: model.Config) -> Iterator[tuple[Sequence[Any], str]]:
    """Yield what is wrong with the certificates that listeners name: the place in the configuration, and why."""
    from twisted_mesh.net.certificates import CertificateError, serve

    for name, listener in config.listeners.items():
        if listener.tls is not None:
            try:
                serve(listener.tls, protocols_of(listener))
            except CertificateError as error:
                yield ("listeners", name, "tls", *error.path), str(error)


def _path(error: CertificateError) -> str:
    return "".join(f"[{each}]" if isinstance(each, int) else f".{each}" for each in error.path)


def _refused(live: LiveListener, error: CertificateError) -> None:
    Families(live.env.metrics).certificate_reads.labels(live.config.protocol, live.name, "refused").value += 1
    log.error(
        "listener {name}: tls{path}: {error}; the certificates stay as they were",
        name=live.name,
        path=_path(error),
        error=error,
    )


class Renewal:
    """Looks at the files of certificates once a second, while there are any, and reads those that have changed.

    They are read when they were quiet for one look, as certificate and key change one after the other.
    """

    def __init__(self, world: World) -> None:
        self._world = world
        self._sweep = Sweep(world.env.clock, INTERVAL)
        self._sweep.add(self._look)
        # What changed files were like at the last look, and what those were like that were refused, by listener.
        self._seen: dict[str, Sequence[FileState]] = {}
        self._refused: dict[str, Sequence[FileState]] = {}

    def wake(self) -> None:
        """There may be files to look at."""
        if any(each.served is not None for each in self._world.listeners.values()):
            self._sweep.wake()

    def stop(self) -> None:
        """Look no more."""
        self._sweep.stop()

    def now(self) -> None:
        """Read every file that has changed."""
        for live, state in self._changed():
            self._renew(live, state)

    def _look(self) -> bool:
        seen, self._seen = self._seen, {}
        for live, state in self._changed():
            if self._refused.get(live.name) == state:
                continue
            if seen.get(live.name) == state:
                self._renew(live, state)
            else:
                self._seen[live.name] = state
        return any(each.served is not None for each in self._world.listeners.values())

    def _changed(self) -> Iterable[tuple[LiveListener, Sequence[FileState]]]:
        from twisted_mesh.net.certificates import file_state

        for live in self._world.listeners.values():
            if live.served is not None:
                state = tuple(file_state(each[0]) for each in live.served.files)
                if state != live.served.files:
                    yield live, state

    def _renew(self, live: LiveListener, state: Sequence[FileState]) -> None:
        from twisted_mesh.net.certificates import CertificateError, serve

        assert live.config.tls is not None
        try:
            served = serve(live.config.tls, protocols_of(live.config), live.served)
        except CertificateError as error:
            self._refused[live.name] = state
            _refused(live, error)
            return
        self._refused.pop(live.name, None)
        if served.context is not (live.served and live.served.context):
            Families(live.env.metrics).certificate_reads.labels(live.config.protocol, live.name, "taken").value += 1
            log.info("listener {name}: new certificates were read", name=live.name)
        live.secure(served)
