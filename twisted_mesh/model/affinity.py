"""Sessions that stay at one endpoint."""

from __future__ import annotations

from typing import Annotated, Any, Optional

from pydantic import AfterValidator, Field, model_validator
from typing_extensions import Self

from twisted_mesh.model.base import Model, Short
from twisted_mesh.model.fields import check_set_header_name, is_token
from twisted_mesh.model.text import expected
from twisted_mesh.model.units import Interval

# Requests or replies have them anyway, with a meaning that an endpoint's digest in their place would spoil.
_TAKEN = frozenset(["authorization", "content-type", "cookie", "date", "host", "location", "set-cookie"])


def _named(value: Any) -> Any:
    return {"name": value} if isinstance(value, str) else value


def _cookie_path(path: str) -> str:
    # RFC 6265, section 4.1.1: any character but controls and the semicolon.
    if not path.startswith("/") or any(each < " " or each > "~" or each == ";" for each in path):
        raise expected("a path such as / or /shop", path)
    return path


def _cookie_name(name: str) -> str:
    if not is_token(name):
        raise expected("the name of a cookie", name)
    return name


def _header_name(name: str) -> str:
    if check_set_header_name(name).lower() in _TAKEN:
        raise expected("a header of your own, such as x-session", name)
    return name


class AffinityCookie(Model):
    """The cookie that says which endpoint a session is at; the sidecar sets it, HttpOnly and SameSite=Lax."""

    name: Annotated[str, AfterValidator(_cookie_name)] = Field(description="Its name.")
    ttl: Optional[Interval] = Field(
        default=None, description="How long it is kept (Max-Age); until the browser ends if not given."
    )
    path: Annotated[str, AfterValidator(_cookie_path)] = Field(default="/", description="The paths that it is for.")
    secure: bool = Field(default=False, description="Whether it is only sent over TLS.")


class Affinity(Model):
    """What keeps a session at the endpoint that had its first call; a cookie or a header.  For HTTP.

    Whatever the balance says, a call that brings it goes to that endpoint as long as that can be used.  What it holds
    is a digest of the endpoint's address, the same at every sidecar.
    """

    cookie: Annotated[Optional[AffinityCookie], Short(_named, {"type": "string", "description": "name"})] = Field(
        default=None, description="A cookie, which the sidecar sets: NAME or {name, ttl, ...}."
    )
    header: Optional[Annotated[str, AfterValidator(_header_name)]] = Field(
        default=None, description="A header, which every reply has and clients send back in their next calls."
    )
    strict: bool = Field(
        default=False,
        description="Whether calls of a session fail when its endpoint cannot be used; they go to another if not.",
    )

    @model_validator(mode="after")
    def _one(self) -> Self:
        if (self.cookie is None) == (self.header is None):
            raise ValueError("expected either a cookie or a header")
        return self
