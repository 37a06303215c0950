"""What can be said on the command line of `twistd mesh` and `python -m twisted_mesh`."""

from __future__ import annotations

import os
import pwd
import sys
from typing import TYPE_CHECKING, Any, Mapping, NoReturn, Optional, Sequence

from twisted.python import usage

from twisted_mesh.server import memory
from twisted_mesh.server.reactor import ReactorTaken, install_reactor

if TYPE_CHECKING:
    from twisted_mesh import model
    from twisted_mesh.model.redis import Redis

# The exit status of a wrong command line; a wrong configuration ends with 1.
USAGE = 2


def give_up(line: str, status: int) -> NoReturn:
    """End the process with one line on stderr."""
    sys.stderr.write(f"mesh: {line}\n")
    sys.exit(status)


class Options(usage.Options):
    """The options.  Making them installs the reactor, as twistd imports it soon after.

    A mistake ends the process with one line on stderr; twistd's own way is all of its help, with the mistake below.
    """

    synopsis = "[options]"
    optParameters = [
        ["config", "c", "mesh.yaml", "The configuration: a file, or a directory of files that are merged."],
        [
            "admin",
            None,
            None,
            "Where the admin answers (host:port, unix:/path, off), over what the configuration says.",
        ],
        ["node", None, None, "The name of this sidecar, over what the configuration says."],
        ["service", None, None, "The service it stands in front of, over what the configuration says."],
        ["zone", None, None, "Where it runs, over what the configuration says."],
        [
            "redis",
            None,
            None,
            "The mesh's Redis, over what the configuration says; a password is seen there, so better MESH_REDIS.",
        ],
    ]
    # Whom twistd will make the process belong to, with --uid and --gid; None if it stays as it is.
    owner: Optional[tuple[int, int]] = None
    compData = usage.Completions(optActions={"config": usage.CompleteFiles("*.yaml")})

    def __init__(self) -> None:
        super().__init__()
        memory.begin()
        try:
            install_reactor()
        except ReactorTaken as error:
            give_up(str(error), USAGE)

    def parseOptions(self, options: Optional[Sequence[str]] = None) -> None:
        """Read the command line; ends the process if it makes no sense."""
        try:
            super().parseOptions(options)
        except usage.UsageError as error:
            give_up(str(error), USAGE)

    def parseArgs(self, *arguments: str) -> None:
        """There are none."""
        if arguments:
            raise usage.UsageError(f"unexpected argument {arguments[0]!r}; the configuration is named with --config")

    def postOptions(self) -> None:
        """Check what can be checked without the configuration."""
        self._check_twistd()
        self["redis"] = self._redis(os.environ)
        # A daemon changes its directory; SIGHUP and the watch must still find the file.
        self["config"] = os.path.abspath(self["config"])
        if self["admin"] is not None:
            self["admin"] = self._admin(self["admin"])

    def _check_twistd(self) -> None:
        """Refuse what twistd was asked for and cannot be had, before anything has changed."""
        twistd: Any = self.parent or {}
        if twistd.get("chroot") is not None:
            raise usage.UsageError(
                "--chroot cannot be had: in there neither the configuration nor Python would be found; "
                "a container or systemd's RootDirectory= have both in there from the start"
            )
        uid, gid = twistd.get("uid"), twistd.get("gid")
        if uid is None:
            return
        try:
            user = pwd.getpwuid(uid)
        except KeyError:
            raise usage.UsageError(f"--uid: there is no user {uid}") from None
        self.owner = uid, user.pw_gid if gid is None else gid

    @property
    def daemon(self) -> bool:
        """Whether twistd becomes a daemon: whoever started it hears of a failed start through an exception alone."""
        twistd: Any = self.parent
        return twistd is not None and not twistd.get("nodaemon")

    def _redis(self, env: Mapping[str, str]) -> Optional[Redis]:
        """Return what --redis says, or MESH_REDIS where it says nothing."""
        name, text = ("MESH_REDIS", env.get("MESH_REDIS")) if self["redis"] is None else ("--redis", self["redis"])
        if not text:
            return None
        from twisted_mesh.model.redis import parse

        try:
            return parse(text)
        except ValueError as error:
            raise usage.UsageError(f"{name}: {error}") from None

    def _admin(self, text: str) -> Any:
        if text == "off":
            return "off"
        from twisted_mesh.model import Address

        try:
            return Address.parse(text)
        except ValueError as error:
            raise usage.UsageError(f"--admin: {error}") from None

    def over(self, config: model.Config) -> model.Config:
        """Return the configuration with what the command line says put over it."""
        node = {key: self[option] for key, option in (("id", "node"), ("service", "service"), ("zone", "zone"))}
        changes: dict[str, Any] = {}
        if any(each is not None for each in node.values()):
            given = {key: value for key, value in node.items() if value is not None}
            changes["node"] = config.node.model_copy(update=given)
        if self["admin"] is not None:
            changes["admin"] = None if self["admin"] == "off" else self["admin"]
        if self["redis"] is not None:
            changes["redis"] = self["redis"]
        return config.model_copy(update=changes) if changes else config
