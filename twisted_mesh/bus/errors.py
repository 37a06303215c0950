"""What can go wrong between the mesh and its Redis."""

from __future__ import annotations

import re
from typing import Literal

Trouble = Literal["down", "timeout", "refused", "protocol", "busy"]

# Refusals that come from having the wrong server, not from the command: another connection may do better.
WRONG_SERVER = frozenset(["READONLY", "LOADING", "MASTERDOWN", "MOVED", "CLUSTERDOWN", "NOAUTH"])
# Refusals of a node of a cluster while the slot of the keys is on its way to another one.
MOVING = frozenset(["ASK", "TRYAGAIN"])
# Before Redis 7 an error inside a script stands within an error of the script:
# ``ERR Error running script (call to f_0a1b): @user_script:1: @user_script: 1: -OOM command not allowed...``
_IN_SCRIPT = re.compile(r"ERR Error running script .*?: -([A-Z]+) ", re.ASCII | re.DOTALL)


class BusError(Exception):
    """A command did not get its answer.  ``str()`` is one line: which server, and what happened.

    :param kind: ``down``: there is no connection, or it was lost; ``timeout``: no answer in time, and the connection
        was dropped; ``refused``: the server said no; ``protocol``: the server's bytes make no sense; ``busy``: too much
        is unanswered already.
    :param server: the server as people know it; never with a password.
    :param code: with ``refused`` the first word of what the server said: ``OOM``, ``NOPERM``, ``WRONGPASS``...
    :param sent: whether the command may have run all the same; without it it surely did not and never will.
    """

    def __init__(self, kind: Trouble, detail: str, *, server: str = "", code: str = "", sent: bool = False) -> None:
        super().__init__(f"redis {server}: {detail}" if server else detail)
        self.kind: Trouble = kind
        self.detail = detail
        self.server = server
        self.code = code
        self.sent = sent

    @property
    def wrong_server(self) -> bool:
        """Whether the server cannot serve now, so that it should be looked for anew."""
        return self.code in WRONG_SERVER

    @property
    def moving(self) -> bool:
        """Whether the keys are on their way to another node, so that the same will be answered soon."""
        return self.code in MOVING


def refusal(server: str, text: str) -> BusError:
    """Make the error for an error reply: ``READONLY You can't write against a read only replica.``"""
    inner = _IN_SCRIPT.match(text)
    code = text.partition(" ")[0] if inner is None else inner[1]
    return BusError("refused", text, server=server, code=code if code.isupper() else "ERR", sent=True)
