"""In what two answers to the same call differ."""

from __future__ import annotations

from typing import Mapping, NamedTuple, Sequence


class Answer(NamedTuple):
    """What is compared of an answer: `headers` are the values of those that are compared, by their names."""

    status: int
    headers: Mapping[str, Sequence[str]]
    size: int
    digest: bytes


def differences(first: Answer, second: Answer, *, status: bool = True, body: bool = True) -> list[str]:
    """Return a few words for each difference; nothing of a body stands in them, as it may be a secret.

    :param status: whether the statuses are compared, :param body: whether the bodies are.
    """
    found = []
    if status and first.status != second.status:
        found.append(f"status {first.status} and {second.status}")
    for name, values in first.headers.items():
        others = second.headers.get(name, ())
        if list(values) != list(others):
            found.append(f"header {name} {_shown(values)} and {_shown(others)}")
    if body and first.size != second.size:
        found.append(f"bodies of {first.size} and {second.size} bytes")
    elif body and first.digest != second.digest:
        found.append(f"bodies of {first.size} bytes that are not the same")
    return found


def _shown(values: Sequence[str]) -> str:
    return repr(", ".join(values))[:80] if values else "missing"
