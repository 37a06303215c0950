"""Where the mesh's Redis is, and how to get in."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, field
from typing import Annotated, Any, Optional
from urllib.parse import quote, unquote

from pydantic import AfterValidator, Field, ValidationError, model_validator
from pydantic_core import CoreSchema
from typing_extensions import Self

from twisted_mesh.model.address import Address
from twisted_mesh.model.base import Model, Short
from twisted_mesh.model.text import describe, expected, text_schema
from twisted_mesh.model.units import Interval

PORT = 6379
SENTINEL_PORT = 26379
EMBEDDED = "embedded"
# The name of an embedded server's unix socket, in its directory.
EMBEDDED_SOCKET = "redis.sock"
SCHEMES = ("redis", "rediss", "unix", "sentinel", EMBEDDED)
# More of them are a mistake, and each costs a time-out when all are away.
MOST_ADDRESSES = 32
# What a file of PEM holds, and no path; lines of text may stand before it.
BEGIN = "-----BEGIN "
_FORMS = (
    "redis://127.0.0.1:6379/0, rediss://redis.example:6380, unix:///run/redis.sock, "
    "sentinel://host:26379,host2:26379/NAME/0 or embedded"
)
_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://(.*)", re.ASCII | re.DOTALL)
_DATABASE = re.compile(r"\d{1,5}", re.ASCII)
_MASTER = re.compile(r"[A-Za-z0-9_.-]{1,128}", re.ASCII)


def embedded_directory(mesh: str) -> str:
    """Return where the embedded server of a mesh has its data if nobody says where:
    ``~/.local/state/twisted_mesh/MESH/redis``, below ``/var/lib`` for root, below ``XDG_STATE_HOME`` where that is
    set."""
    usual = "/var/lib" if os.geteuid() == 0 else os.path.expanduser("~/.local/state")
    return os.path.join(os.environ.get("XDG_STATE_HOME") or usual, "twisted_mesh", mesh, "redis")


@dataclass(frozen=True)
class RedisUrl:
    """One Redis: a server, the master that Sentinels know, or a server that the sidecar starts itself.

    :ivar scheme: one of `SCHEMES`.
    :ivar addresses: servers of which one is the master, or nodes of one Redis Cluster, tried in turn; the Sentinels;
        with ``embedded`` none, or where the server listens beside its unix socket.
    :ivar database: the number of the database.
    :ivar master: with ``sentinel`` the name of the master.
    """

    scheme: str
    addresses: tuple[Address, ...] = ()
    database: int = 0
    master: str = ""
    username: str = ""
    password: str = field(default="", repr=False)

    @classmethod
    def parse(cls, text: object) -> RedisUrl:
        """Read a URL.

        :raises ValueError: it is none; says what would be right, and never shows a password.
        """
        if not isinstance(text, str) or not text:
            raise expected(f"a Redis such as {_FORMS}", text)
        if text == EMBEDDED:
            return cls(EMBEDDED)
        found = _SCHEME.fullmatch(text)
        if found is None or found[1].lower() not in SCHEMES:
            raise expected(f"a Redis such as {_FORMS}", _without_password(text))
        try:
            return _parse(found[1].lower(), found[2])
        except ValueError as error:
            raise ValueError(f"{_without_password(text)}: {error}") from None

    def __str__(self) -> str:
        """Return a text that reads back as the same value: it holds the password."""
        return self._text(quote(self.password, safe=""))

    @property
    def shown(self) -> str:
        """The same without the password, for people."""
        return self._text("***" if self.password else "")

    def _text(self, password: str) -> str:
        if self.scheme == EMBEDDED:
            return f"{EMBEDDED}://{self.addresses[0]}" if self.addresses else EMBEDDED
        login = quote(self.username, safe="") + (f":{password}" if password else "")
        login = f"{login}@" if login else ""
        if self.scheme == "unix":
            query = f"?db={self.database}" if self.database else ""
            return f"unix://{login}{quote(self.addresses[0].path)}{query}"
        master = f"/{self.master}" if self.master else ""
        return f"{self.scheme}://{login}{','.join(map(str, self.addresses))}{master}/{self.database}"

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: Any) -> CoreSchema:
        return text_schema(cls, cls.parse)

    @classmethod
    def __get_pydantic_json_schema__(cls, schema: Any, handler: Any) -> dict[str, Any]:
        return {
            "type": "string",
            "pattern": r"^(embedded|(rediss?|unix|sentinel|embedded)://.+)$",
            "examples": ["redis://127.0.0.1:6379/0", "sentinel://a:26379,b:26379/main/0", EMBEDDED],
        }


def _without_password(text: str) -> str:
    return re.sub(r"(://[^@:/]*):.*@", r"\1:***@", text, flags=re.DOTALL)


def _parse(scheme: str, rest: str) -> RedisUrl:
    login, at, place = rest.rpartition("@")
    if scheme == EMBEDDED:
        addresses = _addresses(rest, PORT)
        if len(addresses) > 1:
            raise ValueError("expected one address to listen at, such as embedded://127.0.0.1:6379")
        return RedisUrl(scheme, addresses)
    username, _, password = login.partition(":")
    who = {"username": unquote(username), "password": unquote(password)} if at else {}
    if scheme == "unix":
        path, _, query = place.partition("?")
        address = Address.parse(f"unix:{unquote(path)}")
        return RedisUrl(scheme, (address,), _query(query), **who)
    if "?" in place or "#" in place:
        raise ValueError("nothing may follow the database; the other settings have names of their own")
    hosts, _, path = place.partition("/")
    if scheme == "sentinel":
        master, _, database = path.partition("/")
        if _MASTER.fullmatch(master) is None:
            raise ValueError("expected the master's name after the Sentinels, as in sentinel://host:26379/NAME/0")
        return RedisUrl(scheme, _addresses(hosts, SENTINEL_PORT), _database(database), master, **who)
    return RedisUrl(scheme, _addresses(hosts, PORT), _database(path), **who)


def _addresses(text: str, port: int) -> tuple[Address, ...]:
    parts = text.split(",")
    if len(parts) > MOST_ADDRESSES:
        raise ValueError(f"expected at most {MOST_ADDRESSES} addresses")
    bare = [":" not in each or each.endswith("]") for each in parts]
    found = [Address.parse(f"{each}:{port}" if alone else each) for each, alone in zip(parts, bare, strict=True)]
    if any(each.path or each.port == 0 for each in found):
        raise ValueError("expected hosts, each with a port from 1 to 65535")
    return tuple(found)


def _database(text: str) -> int:
    if not text:
        return 0
    if _DATABASE.fullmatch(text) is None:
        raise ValueError("expected the number of a database at the end, as in /0")
    return int(text)


def _query(text: str) -> int:
    if not text:
        return 0
    name, _, value = text.partition("=")
    if name != "db":
        raise ValueError("expected ?db=NUMBER or nothing after the path")
    return _database(value)


# --- the settings


def _pem_or_path(text: str) -> str:
    if not text.startswith("/") and BEGIN not in text:
        # What has lines is no path, and may be half of a secret.
        shown = "text of several lines" if "\n" in text else describe(text)
        raise ValueError(
            f"expected an absolute path, PEM itself, or file:PATH relative to the configuration, got {shown}"
        )
    return text


Pem = Annotated[str, AfterValidator(_pem_or_path)]
"""PEM itself, or the absolute path of a file that holds it, which is read again for every connection."""


class Sentinels(Model):
    """What the Sentinels want to know, where it is not what the servers want to know."""

    username: str = Field(default="", description="The user at the Sentinels.")
    password: str = Field(default="", repr=False, description="The password at the Sentinels; none if empty.")


class Redis(Model):
    """Where the mesh's Redis is, and how to get in."""

    url: RedisUrl = Field(
        description="redis://, rediss:// (TLS), unix://, sentinel:// or embedded. Several hosts, parted by commas, "
        "are tried in turn: nodes of a Redis Cluster, or servers of which one is the master."
    )
    username: str = Field(default="", description="The ACL user; before the one in the URL.")
    password: str = Field(default="", repr=False, description="The password; before the one in the URL.")
    ca: Optional[Pem] = Field(
        default=None,
        description="Who signs the server's certificate, as PEM or a path; the system's list if not given.",
    )
    certificate: Optional[Pem] = Field(
        default=None, description="The client's certificate, and those that signed it, as PEM or a path."
    )
    key: Optional[Pem] = Field(default=None, description="The key of the certificate; may stand in the same PEM.")
    server_name: str = Field(
        default="", description="The name in the server's certificate, if it is not the host's in the URL."
    )
    tls: bool = Field(
        default=False, description="Speak TLS with Sentinels and their masters; rediss:// says so itself."
    )
    sentinel: Sentinels = Field(default=Sentinels.model_construct(), description="How to get in at the Sentinels.")
    timeout: Interval = Field(
        default=5.0, description="How long an answer may take, and to connect; after that the connection is dropped."
    )

    @model_validator(mode="after")
    def _sound(self) -> Self:
        if self.tls and self.url.scheme not in ("rediss", "sentinel"):
            raise ValueError("tls is for sentinel://; write rediss:// in place of redis://")
        secret = [name for name in ("ca", "certificate", "key", "server_name") if getattr(self, name)]
        if secret and not self.secure:
            more = " and tls: true" if self.url.scheme == "sentinel" else ", that is rediss://"
            raise ValueError(f"{secret[0]} is for TLS{more}")
        if self.key is not None and self.certificate is None:
            raise ValueError("key needs a certificate")
        return self

    @property
    def secure(self) -> bool:
        """Whether TLS is spoken."""
        return self.tls or self.url.scheme == "rediss"

    @property
    def login(self) -> tuple[str, str]:
        """The user, "" for the default one, and the password, "" for none."""
        return self.username or self.url.username, self.password or self.url.password

    @property
    def embedded(self) -> bool:
        """Whether the sidecar starts the server."""
        return self.url.scheme == EMBEDDED


def _from_text(value: Any) -> Any:
    return value if isinstance(value, (dict, Model)) else {"url": value}


RedisSetting = Annotated[
    Optional[Annotated[Redis, Short(_from_text, {"type": "string", "description": _FORMS})]],
    Field(description="The mesh's Redis; without one only what is written here is known."),
]
"""How a configuration says where Redis is: a URL, or an object."""


def parse(text: str) -> Redis:
    """Return the settings that a URL alone stands for.

    :raises ValueError: one line that says what would be right; it never shows a password.
    """
    url = RedisUrl.parse(text)
    try:
        return Redis(url=url)
    except ValidationError as error:
        raise ValueError(str(error.errors()[0]["msg"]).removeprefix("Value error, ")) from None
