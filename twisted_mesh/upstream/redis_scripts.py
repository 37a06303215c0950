"""Scripts that one server of several has, and the next does not.

EVAL leaves a script at the server of its keys alone, while clients take it that EVALSHA finds it from then on, as it
does where there is one server.  So EVALSHA of a script that has come by is sent as EVAL to a server that has not been
sent it.  A server that lost its scripts says NOSCRIPT, as always, and clients send EVAL then.  For those that send
EVALSHA all the same the script counts as sent to nobody from then on.
"""

from __future__ import annotations

from hashlib import sha1
from typing import Optional, Sequence

from twisted_mesh.call import Call
from twisted_mesh.codec.resp import pack
from twisted_mesh.redis_call import RedisReply
from twisted_mesh.redis_pending import Pending

# What runs a script by its text, and by its SHA-1; and what both take as.
EVALS = {"EVAL": b"EVAL", "EVAL_RO": b"EVAL_RO", "EVALSHA": b"EVAL", "EVALSHA_RO": b"EVAL_RO"}
# Bytes of scripts that are remembered, and how many; of more those that were not used for the longest time are not.
SIZE_LIMIT = 4 * 1024 * 1024
COUNT_LIMIT = 1024


class _Script:
    """One script, and the addresses of the servers that were sent it."""

    __slots__ = ("at", "sha", "text")

    def __init__(self, text: bytes, sha: bytes) -> None:
        self.text = text
        self.sha = sha
        self.at: set[str] = set()


class Scripts:
    """The scripts that clients have sent, and which servers were sent them."""

    def __init__(self) -> None:
        # By their texts, so that none is hashed twice; those used last at the end.
        self._texts: dict[bytes, _Script] = {}
        self._shas: dict[bytes, _Script] = {}
        self._size = 0

    def __repr__(self) -> str:
        return f"<Scripts {len(self._texts)}, {self._size} bytes>"

    def fitted(self, name: str, words: Sequence[bytes], servers: Sequence[str], *, noted: bool) -> Optional[bytes]:
        """Return what is sent in place of a command of `EVALS`; None: the command as it is.

        :param servers: the addresses of those that it may go to; none where that is not known.
        :param noted: whether the script is there from now on; not so in a transaction, which may not be executed.
        """
        if name.startswith("EVALSHA"):
            script = self._shas.get(words[1].lower())
            if script is None or (servers and script.at.issuperset(servers)):
                return None
            data: Optional[bytes] = pack([EVALS[name], script.text, *words[2:]])
        else:
            script, data = self._remember(words[1]), None
        if script is not None:
            self._use(script)
            if noted and len(servers) == 1:
                script.at.update(servers)
        return data

    def loaded(self, text: bytes, servers: Sequence[str]) -> None:
        """Every server is sent a script."""
        script = self._remember(text)
        if script is not None:
            script.at.update(servers)

    def ran(self, sha: bytes, pending: Pending, call: Call) -> None:
        """A call by a SHA-1 has ended: if a server did not have the script, it is sent again to each."""
        if pending.done and isinstance(pending.value, RedisReply) and pending.value.errors:
            body, script = pending.value.body, self._shas.get(sha.lower())
            if script is not None and isinstance(body, bytes) and body.startswith(b"-NOSCRIPT "):
                script.at.clear()

    def forget(self) -> None:
        """Servers are told to forget them all."""
        self._texts.clear()
        self._shas.clear()
        self._size = 0

    def _remember(self, text: bytes) -> Optional[_Script]:
        script = self._texts.get(text)
        if script is None and len(text) <= SIZE_LIMIT:
            script = _Script(text, sha1(text, usedforsecurity=False).hexdigest().encode())
            self._texts[text] = self._shas[script.sha] = script
            self._size += len(text)
            while self._size > SIZE_LIMIT or len(self._texts) > COUNT_LIMIT:
                oldest = self._texts.pop(next(iter(self._texts)))
                del self._shas[oldest.sha]
                self._size -= len(oldest.text)
        return script

    def _use(self, script: _Script) -> None:
        del self._texts[script.text]
        self._texts[script.text] = script
