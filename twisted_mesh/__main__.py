"""``python -m twisted_mesh``: the sidecar without twistd, in the foreground, with the options of `twistd mesh`."""

from __future__ import annotations

import sys

from twisted.logger import globalLogBeginner, textFileLogObserver

from twisted_mesh.server.ending import ending
from twisted_mesh.server.options import Options


def main() -> int:
    """Run until drained; returns the exit status."""
    options = Options()
    options.parseOptions(sys.argv[1:])
    # The standard output is the access log's, if it goes there.
    globalLogBeginner.beginLoggingTo([textFileLogObserver(sys.stderr)], redirectStandardIO=False)
    from twisted_mesh.server.reactor import install_reactor
    from twisted_mesh.server.service import make_service

    reactor = install_reactor()
    sidecar = make_service(options)
    sidecar.privilegedStartService()
    sidecar.startService()
    reactor.addSystemEventTrigger("before", "shutdown", sidecar.stopService)
    reactor.run()
    return ending.status


if __name__ == "__main__":
    sys.exit(main())
