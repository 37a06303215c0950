"""What of a call the balances that hash go by."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Optional

from pydantic import AfterValidator, Field, model_validator
from typing_extensions import Self

from twisted_mesh.model.base import ONE_OR_LIST, Model, NotEmpty, Short
from twisted_mesh.model.fields import HeaderName
from twisted_mesh.model.text import expected
from twisted_mesh.policy.ring import MAGLEV_MOST, MAGLEV_SIZE, is_prime

Part = Literal["source", "host", "path", "key", "identity"]
PARTS = ("source", "host", "path", "key", "identity")


def _key(value: Any) -> Any:
    return {"part": value} if isinstance(value, str) else value


def _size(size: int) -> int:
    if not is_prime(size):
        raise expected("a prime, such as 65537", size)
    return size


class HashKey(Model):
    """One thing that a call may be told apart by; exactly one of these."""

    part: Optional[Part] = Field(
        default=None,
        description="source, the client's address by the trusted hops; host; path; key, the first key of a Redis "
        "command (path says the same there); or identity, who calls by certificate, as a user of Redis, or as a "
        "filter has found out.",
    )
    header: Optional[HeaderName] = Field(default=None, description="The value of a header.")
    cookie: Optional[HeaderName] = Field(default=None, description="The value of a cookie.")
    query: Optional[str] = Field(default=None, min_length=1, description="The value of a query parameter.")

    @model_validator(mode="after")
    def _one(self) -> Self:
        if sum(each is not None for each in (self.part, self.header, self.cookie, self.query)) != 1:
            raise ValueError(f"expected {', '.join(PARTS)}, or one of header, cookie and query")
        return self


HASH_KEY = Short(_key, {"type": "string", "enum": list(PARTS)})
"""Marks a `HashKey` that may be written as the name of its part."""


class Hashing(Model):
    """How the balances ring_hash and maglev hash."""

    key: Annotated[tuple[Annotated[HashKey, HASH_KEY], ...], NotEmpty(), ONE_OR_LIST] = Field(
        default=(HashKey.model_construct(part="source"),),
        description="What calls are told apart by; of several the first that a call has. A call that has none goes to "
        "any endpoint.",
    )
    bound: Optional[float] = Field(
        default=None,
        gt=1,
        le=100,
        description="No endpoint gets more than so many times the mean of the calls in flight, 1.25 to 2 are sensible; "
        "what is too much of a key goes to the next endpoint. No bound if not given.",
    )
    ring_size: int = Field(
        default=1024, ge=1, le=65_536, description="Points of the ring at the least, so that weights are kept better."
    )
    table_size: Annotated[int, AfterValidator(_size)] = Field(
        default=MAGLEV_SIZE, ge=2, le=MAGLEV_MOST, description="Entries of the Maglev table; a prime."
    )
