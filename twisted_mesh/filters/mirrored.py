"""One copy of a call on its way to a mirror, and what is heard of an answer for comparing it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Callable, Optional, Sequence

import xxhash

from twisted_mesh.call import Call, Completion, Reply
from twisted_mesh.chain import Aside
from twisted_mesh.policy.compare import Answer
from twisted_mesh.stream import ByteStream, Trailers

if TYPE_CHECKING:
    from twisted_mesh.filters.mirror import Mirror

# The longest answer of a mirror that is read to its end; a longer one is cut and not compared.
MOST_READ = 16 * 1024 * 1024


class Heard:
    """What is to be compared of an answer; a body that is still on its way is listened to, and passes unchanged."""

    def __init__(self, call: Call, reply: Reply, headers: Sequence[str]) -> None:
        self.status = reply.status
        self._headers = {name: reply.headers.get_all(name) for name in headers}
        self._digest = xxhash.xxh3_128()
        self.size = 0
        # Whether all of it was heard; None while it may still come.
        self.whole: Optional[bool] = None
        self.on_end: Optional[Callable[[], None]] = None
        body = reply.body
        if isinstance(body, bytes):
            self.add(body)
            self.whole = True
            return
        reply.body = heard = body.map(self.add)
        # What passes is the same, so its length is as well.
        heard.length = body.length
        call.on_complete(lambda ended: self.end(heard.ended))

    def answer(self) -> Answer:
        """Return it for comparing."""
        return Answer(self.status, self._headers, self.size, self._digest.digest())

    def add(self, data: bytes) -> bytes:
        """Hear the next piece, and return it."""
        self.size += len(data)
        self._digest.update(data)
        return data

    def end(self, whole: bool) -> None:
        """Nothing more comes."""
        self.whole = whole
        then, self.on_end = self.on_end, None
        if then is not None:
            then()


class Mirrored:
    """A copy of a call, until its answer has been read.

    :param real: what is heard of the real answer; None if nothing is compared.
    """

    def __init__(self, mirror: Mirror, call: Call, real: Optional[Heard], headers: Sequence[str]) -> None:
        self._mirror = mirror
        self._call = call
        self._real = real
        self._headers = headers
        self._heard: Optional[Heard] = None
        self._body: Optional[ByteStream] = None
        self._driver = Aside("mirror", call, self._answered)
        self._read = 0
        call.started = call.received = now = mirror.env.now()
        call.timeout = mirror.limit
        self.deadline = now + mirror.limit

    def __repr__(self) -> str:
        return f"<Mirrored {self._call!r}>"

    def start(self) -> None:
        """Send it."""
        self._mirror.table.add(self._driver)
        self._driver.start(self._mirror.proceed)

    def late(self) -> None:
        """Its time is over.  Before the head came its chain is cancelled by the table; a body is given up here."""
        body, self._body = self._body, None
        if body is not None:
            body.cancel()
            self._finish("failed")

    def _answered(self, call: Call, reply: Optional[Reply], error: Optional[BaseException]) -> None:
        self._mirror.table.discard(self._driver)
        if not isinstance(reply, Reply) or reply.tunnel is not None:
            if isinstance(reply, Reply):
                reply.discard()
            self._finish("failed")
            return
        if self._real is not None:
            self._heard = Heard(call, reply, self._headers)
        if isinstance(reply.body, ByteStream):
            self._body = reply.body
            reply.body.attach(self)
        else:
            self._finish("answered")

    # --- the answer's body

    def body_data(self, data: bytes) -> None:
        """Read on, to an end."""
        self._read += len(data)
        if self._read > MOST_READ and self._body is not None:
            body, self._body = self._body, None
            body.cancel()
            self._finish("cut")

    def body_ended(self, trailers: Trailers) -> None:
        """It is all here."""
        if self._body is not None:
            self._body = None
            self._finish("answered")

    def body_failed(self, error: BaseException) -> None:
        """It was cut."""
        if self._body is not None:
            self._body = None
            self._finish("failed")

    def _finish(self, result: str) -> None:
        call, mirror = self._call, self._mirror
        mirror.ended(self)
        mirror.count(call, result)
        call.complete(mirror.env.now(), self._completion_failed)
        real, heard = self._real, self._heard
        if real is None or heard is None or result != "answered":
            return
        if real.whole is None:
            real.on_end = self._judge
        else:
            self._judge()

    def _judge(self) -> None:
        assert self._real is not None
        assert self._heard is not None
        if self._real.whole:
            self._mirror.judge(self._call, self._real, self._heard)

    def _completion_failed(self, completion: Completion) -> None:
        self._mirror.env.log.failure("{completion!r} failed at the end of a copy", completion=completion)
