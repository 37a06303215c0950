"""What `twistd mesh` runs: its options, and the service that they make."""

from __future__ import annotations

from twisted.application.service import IService

from twisted_mesh.server.options import Options

__all__ = ["Options", "makeService"]


def makeService(options: Options) -> IService:
    """Return the sidecar as a service, its configuration applied and its sockets open.

    A configuration that does not load or cannot be applied ends the process with status 1, every problem on a line of
    its own on stderr.  twistd calls this before it becomes a daemon, so that whoever starts one sees them.
    """
    # Late, as all of this is not needed for --help.
    from twisted_mesh.server.service import make_service

    return make_service(options)
