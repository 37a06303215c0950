"""The corpora that others wrote, as `Case`s."""

from __future__ import annotations

import base64
import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

HERE = Path(__file__).parent


@dataclass(frozen=True)
class Case:
    """Bytes that a client may send.

    `severity` is the tier of http-desync-guardian in lower case, or "rejected" or "accepted" by llhttp; `whole` is how
    many messages the authors count as complete before what is wrong, if anything is.
    """

    name: str
    data: bytes
    severity: str
    whole: int = 0

    def with_host(self) -> Case:
        """The same with a Host field behind the request line, where it has none: so that nothing else is wrong."""
        match = _FIRST_LINE.match(self.data)
        if match is None or b"host:" in self.data.lower():
            return self
        host = match[2] or b"a"
        data = match[1] + b"\r\nHost: " + host + self.data[match.end(1) :]
        return Case(self.name, data, self.severity, self.whole)


# A request line, behind empty ones, and the authority of an absolute target.
_FIRST_LINE = re.compile(rb"((?:\r\n)*[^\r\n ]* (?:http://([^/? ]+))?[^\r\n]*)\r\n")


def desync() -> list[Case]:
    """The 159 heads of http-desync-guardian, as bytes, in the order of their files."""
    found = []
    for path in sorted((HERE / "http-desync-guardian").glob("*.yaml")):
        for number, each in enumerate(yaml.safe_load(path.read_text("utf-8"))):
            name = f"{path.stem}-{number}: {each.get('name', '')}"
            found.append(Case(name, _head(each), each["expected"]["tier"].lower(), 1))
    return found


def _head(case: dict[str, Any]) -> bytes:
    """A case's head on the wire.  What is beyond latin-1 in it stands for UTF-8."""
    lines = [f"{case['method']} {case['uri']} {case['version']}"]
    lines += [f"{field['name']}: {field['value']}" for field in case["headers"] or []]
    return b"\r\n".join([*map(_wire, lines), b"", b""])


def _wire(text: str) -> bytes:
    try:
        return text.encode("latin-1")
    except UnicodeEncodeError:
        return text.encode("utf-8")


# An upgrade or a CONNECT ends what llhttp has to say: its "error" 22 is a pause, not a refusal.
_PAUSED = "error code=22 "


def llhttp() -> list[Case]:
    """The 134 request fixtures of llhttp's strict mode."""
    found = []
    for number, each in enumerate(json.loads((HERE / "llhttp" / "request_fixtures.json").read_text())):
        error = each["error"] or ""
        severity = "rejected" if error and not error.startswith(_PAUSED) else "accepted"
        name = f"{number}: {each['title']} ({error})" if error else f"{number}: {each['title']}"
        found.append(Case(name, base64.b64decode(each["bytes_b64"]), severity, each["messages_complete"]))
    return found
