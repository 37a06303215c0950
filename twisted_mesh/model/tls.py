"""TLS: certificates, and whom they are shown to."""

from __future__ import annotations

import re
from typing import Annotated, Any, ClassVar, Literal, Optional

from pydantic import AfterValidator, Field, model_validator
from typing_extensions import Self

from twisted_mesh.model.base import ONE_OR_LIST, Model, NotEmpty, Short, one_of
from twisted_mesh.model.redis import Pem
from twisted_mesh.model.text import expected
from twisted_mesh.model.units import Interval

VERSIONS = ("1.2", "1.3")
_PROTOCOL = re.compile(r"[!-~]{1,255}", re.ASCII)


def _protocol(text: str) -> str:
    if _PROTOCOL.fullmatch(text) is None:
        raise expected("the name of a protocol, such as h2", text)
    return text


class Certificate(Model):
    """A certificate and its key."""

    certificate: Pem = Field(
        description="The certificate, and behind it those that signed it, as PEM or the path of a file."
    )
    key: Optional[Pem] = Field(
        default=None,
        repr=False,
        description="Its private key, without a passphrase; may stand in the same PEM as the certificate.",
    )


def _certificate(value: Any) -> Any:
    return value if isinstance(value, (dict, Model)) else {"certificate": value}


class ListenerTls(Model):
    """How a listener speaks TLS."""

    later: ClassVar[frozenset[str]] = frozenset(["ciphers", "client_crl", "mode"])

    certificates: Annotated[
        tuple[Annotated[Certificate, Short(_certificate, {"type": "string"})], ...], NotEmpty(), ONE_OR_LIST
    ] = Field(
        description="What the listener shows to clients; of several the first that has the name which the client asks "
        "for (SNI), or else the first of all. Files are read again when they change."
    )
    client_ca: Optional[Pem] = Field(
        default=None, description="Who signs the certificates of clients, as PEM or the path of a file."
    )
    client_certificate: Optional[Literal["none", "optional", "required"]] = Field(
        default=None,
        description="Whether clients show certificates: none are asked, those who show one must show a good one "
        "(optional), or all must (required). If not given, required with a client_ca and none without.",
    )
    min_version: Annotated[
        str, AfterValidator(one_of(*VERSIONS)), Field(json_schema_extra={"enum": list(VERSIONS)})
    ] = Field(default="1.2", description="The oldest version of TLS that is spoken: 1.2 or 1.3.")
    alpn: Annotated[tuple[Annotated[str, AfterValidator(_protocol)], ...], ONE_OR_LIST] = Field(
        default=(),
        description="For tcp, the protocols that the endpoints speak, such as h2, the best first; http listeners say "
        "http/1.1 themselves.",
    )
    handshake_timeout: Interval = Field(default=10.0, description="How long a handshake may take.")

    @model_validator(mode="after")
    def _sound(self) -> Self:
        asked = self.client_certificate
        if asked in ("optional", "required") and self.client_ca is None:
            raise ValueError(f"client_certificate: {asked} needs a client_ca that says whose certificates are good")
        if asked == "none" and self.client_ca is not None:
            raise ValueError("client_ca has no effect with client_certificate: none; leave one of them out")
        return self

    @property
    def asks(self) -> str:
        """Whether clients show certificates: none, optional or required."""
        return self.client_certificate or ("none" if self.client_ca is None else "required")
