"""What HTTP/1.1 text may look like, and how a refusal is put.

The expressions here are stricter than RFC 9110 and 9112 ask of a recipient wherever being lenient has let two parsers
disagree: no bare CR or LF, no obs-fold, no space before the colon, no control character anywhere (9112 section 2.2,
5.1 and 5.2).  What none of them matches is refused, never repaired.
"""

from __future__ import annotations

import re

# Envoy's and nginx's defaults for the same; a head that is larger is an attack or a mistake.
HEAD_LIMIT = 60 * 1024
FIELD_LIMIT = 100
TARGET_LIMIT = 8 * 1024

TOKEN = rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+"
# No control character but HTAB; obs-text (0x80-0xff) is allowed in values, as RFC 9110 section 5.5 has it.
_TEXT = rb"[\t\x20-\x7e\x80-\xff]"

_VISIBLE = rb"[\x21-\x7e\x80-\xff]"

# The value stands in one optional group with the white space before it: were there two places next to each other that
# match white space, a line of 50 KiB of it would take 14 s to be refused.
FIELD_LINE = re.compile(
    rb"(" + TOKEN + rb"):(?:[ \t]*(" + _VISIBLE + rb"(?:" + _TEXT + rb"*" + _VISIBLE + rb")?))?[ \t]*"
)
REQUEST_LINE = re.compile(rb"(" + TOKEN + rb") ([\x21-\x7e\x80-\xff]+) HTTP/([0-9])\.([0-9])")
# The version may be a thing of its own for the error message, so this one only knows the shape of a line.
LIKE_REQUEST_LINE = re.compile(rb"(" + TOKEN + rb") ([^ ]+) ([^ ]+)")
STATUS_LINE = re.compile(rb"HTTP/1\.([01]) ([1-9][0-9][0-9])(?: (" + _TEXT + rb"*))?")
CONTENT_LENGTH = re.compile(rb"[0-9]{1,18}")
# uri-host [":" port] of RFC 9112 section 3.2, without userinfo.  Without commas too, which no name has: such a host
# looks like two fields made one, and becomes a list of two in X-Forwarded-Host.
HOST = re.compile(rb"(\[[0-9A-Fa-f:.]{2,45}\]|(?:[A-Za-z0-9\-._~!$&'()*+;=]|%[0-9A-Fa-f]{2})+)(?::([0-9]{1,5}))?")
# A line feed without its carriage return, a carriage return without its line feed, or a control character.
NOT_TEXT = re.compile(rb"(?<!\r)\n|\r[^\n]|[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")


class HttpError(Exception):
    """Bytes that are not the HTTP/1.1 we accept.

    `status` is what a client that sent them is told; `text` says what is wrong.  What an upstream sent becomes a 502
    whatever the status.
    """

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status = status
        self.text = text


def shown(data: bytes, limit: int = 60) -> str:
    """Return bytes as they may be shown in a message: printable, and not too long."""
    text = data[:limit].decode("latin-1")
    safe = "".join(each if " " <= each <= "~" else f"\\x{ord(each):02x}" for each in text)
    return f'"{safe}{"..." if len(data) > limit else ""}"'
