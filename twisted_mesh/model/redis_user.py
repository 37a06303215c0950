"""Who may use a Redis listener, and what for."""

from __future__ import annotations

import re
from typing import Annotated, Optional

from pydantic import AfterValidator, Field

from twisted_mesh.model.base import ONE_OR_LIST, Model
from twisted_mesh.model.match import check_command
from twisted_mesh.model.text import expected

_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
_USER = re.compile(r"[^\s\x00-\x1f]{1,128}")


def _digest(text: str) -> str:
    found = text.lower()
    if _DIGEST.fullmatch(found) is None:
        # What was written may be the password: it is not shown.
        raise ValueError(
            "expected sha256: and 64 hexadecimal digits, as `printf %s PASSWORD | sha256sum` prints them; passwords "
            "are not kept in clear"
        )
    return found


def _user(text: str) -> str:
    if _USER.fullmatch(text) is None:
        raise expected("the name of a user, without spaces", text)
    return text


def _identity(text: str) -> str:
    if not text or not text.isprintable():
        raise expected("the name in a certificate, such as spiffe://shop/web", text)
    return text


def _rule(text: str) -> str:
    sign = text[:1] if text[:1] in ("-", "+") else ""
    return ("-" if sign == "-" else "") + check_command(text[len(sign) :])


def _prefix(text: str) -> str:
    if text[:1] in ("~", "&") or text.endswith("*"):
        # Rules as Redis's ACL has them would be taken for keys that nobody has.
        raise expected("what keys or channels begin with, as it is and without ~, & and *, such as order:", text)
    return text


Prefixes = Annotated[tuple[Annotated[str, AfterValidator(_prefix)], ...], ONE_OR_LIST]


class RedisUser(Model):
    """A user of a Redis listener; where there are none, every client may do everything."""

    name: Annotated[str, AfterValidator(_user)] = Field(
        description="What the client gives to AUTH or HELLO; default is who gives a password only."
    )
    passwords: Annotated[tuple[Annotated[str, AfterValidator(_digest)], ...], ONE_OR_LIST] = Field(
        default=(),
        description="SHA-256 of passwords, as sha256:HEX; each of several is good, so that they can be exchanged one "
        "after the other. Nobody can log in with a password as a user without one.",
    )
    identities: Annotated[tuple[Annotated[str, AfterValidator(_identity)], ...], ONE_OR_LIST] = Field(
        default=(),
        description="Whose certificates stand for a password: a client that shows one of them to a listener with tls "
        "is this user as soon as it has connected. An identity is what is first of the URI (SPIFFE ID), the DNS name "
        "and the common name in a certificate.",
    )
    commands: Annotated[tuple[Annotated[str, AfterValidator(_rule)], ...], ONE_OR_LIST] = Field(
        default=("@all",),
        description="What it may send: commands and classes as in a match, each with - in front takes away from those "
        "before; if the first takes away, from all.",
    )
    read: Optional[Prefixes] = Field(
        default=None, description="What the keys begin with that it may read; all if not given, none if empty."
    )
    write: Optional[Prefixes] = Field(default=None, description="The same for keys that it may change.")
    channels: Optional[Prefixes] = Field(
        default=None, description="The same for channels that it may publish to and subscribe to."
    )
