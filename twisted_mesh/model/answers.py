"""What a route answers itself, and what it asks for in the place of what it was asked."""

from __future__ import annotations

import re
from typing import Annotated, Literal, Optional, Union

from pydantic import AfterValidator, Field, model_validator
from typing_extensions import Self

from twisted_mesh.model.base import Model
from twisted_mesh.model.fields import HeaderValue, SetHeaderName
from twisted_mesh.model.match import Path
from twisted_mesh.model.text import expected

_AUTHORITY = re.compile(r"([A-Za-z0-9._~-]+|\[[0-9A-Fa-f:.]+\])(:[0-9]{1,5})?", re.ASCII)

# An absolute URI, or one without a scheme and perhaps without a host, which browsers resolve (RFC 9110, 10.2.2).
_URL = re.compile(
    r"(?:(?:https?:)?//[^/?#]+(?:[/?#].*)?|(?!https?:)[A-Za-z][A-Za-z0-9+.-]*:(?![0-9]).+|/(?!/).*)", re.ASCII
)
_UNESCAPED = re.compile(r"[^\x21-\x7e]|[\"<>\\^`{|}]")
# Replies that have no body, whatever they say.
_BARE = (204, 205, 304)


def _authority(text: str) -> str:
    if _AUTHORITY.fullmatch(text) is None:
        raise expected("a host, with a port if need be, such as shop.example:8080", text)
    return text


def _url(text: str) -> str:
    if _URL.fullmatch(text) is None or _UNESCAPED.search(text) is not None:
        raise expected("a URL such as https://shop.example/news, or a path such as /news", text)
    return text


class Redirect(Model):
    """Answers with another place to go to: the request's own URL with some parts replaced, or a whole one."""

    path: Optional[Path] = Field(
        default=None,
        description="The path to go to, where {name} is a segment of the match's template; the query stays.",
    )
    prefix: Optional[Path] = Field(
        default=None, description="What to put in the place of the match's prefix; what follows it stays."
    )
    host: Optional[Annotated[str, AfterValidator(_authority)]] = Field(
        default=None, description="The host to go to, with a port if need be."
    )
    scheme: Optional[Literal["http", "https"]] = Field(default=None, description="The scheme to go to.")
    url: Optional[Annotated[str, AfterValidator(_url)]] = Field(
        default=None, description="The whole URL, instead of the parts."
    )
    status: Literal[301, 302, 303, 307, 308] = Field(default=302, description="The status.")

    @model_validator(mode="after")
    def _whole_or_parts(self) -> Self:
        parts = [each for each in (self.path, self.prefix, self.host, self.scheme) if each is not None]
        if (self.url is None) == (not parts):
            raise ValueError("expected either url, or one or more of path, prefix, host and scheme")
        _path_or_prefix(self)
        return self


class Rewrite(Model):
    """What is asked of the endpoint in the place of what was asked here; logs and filters see what was asked."""

    path: Optional[Path] = Field(
        default=None, description="The path, where {name} is a segment of the match's template; the query stays."
    )
    prefix: Optional[Path] = Field(
        default=None, description="What to put in the place of the match's prefix; what follows it stays."
    )
    host: Optional[Annotated[str, AfterValidator(_authority)]] = Field(
        default=None, description="The Host; what the client sent is in X-Forwarded-Host."
    )

    @model_validator(mode="after")
    def _something(self) -> Self:
        if self.path is None and self.prefix is None and self.host is None:
            raise ValueError("expected one or more of path, prefix and host")
        _path_or_prefix(self)
        return self


def _path_or_prefix(change: Union[Redirect, Rewrite]) -> None:
    if change.path is not None and change.prefix is not None:
        raise ValueError("expected either path or prefix")


class FixedReply(Model):
    """Answers at once."""

    status: int = Field(default=200, ge=200, le=599, description="The status.")
    body: str = Field(default="", description="The body, as UTF-8.")
    headers: dict[SetHeaderName, HeaderValue] = Field(default={}, description="The headers.")

    @model_validator(mode="after")
    def _may_have_a_body(self) -> Self:
        if self.body and self.status in _BARE:
            raise ValueError(f"a reply with the status {self.status} has no body (RFC 9110, 6.4.1)")
        return self
