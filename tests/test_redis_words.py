"""What clients of Redis are told when a command fails."""

from __future__ import annotations

import pytest

from twisted_mesh.errors import Kind, MeshError
from twisted_mesh.redis_words import WORDS, words_for


def test_every_kind_has_its_words() -> None:
    assert WORDS.keys() == set(Kind)
    assert all(code.isupper() and code.isalpha() for code, _ in WORDS.values())


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (MeshError(Kind.TIMEOUT, "no reply within 1 s"), b"-MESHTIMEOUT upstream failure: no reply within 1 s\r\n"),
        (MeshError(Kind.NO_ENDPOINT), b"-MESHNOHOST no upstream host\r\n"),
        (MeshError(Kind.RESET, "two\r\nlines"), b"-MESHFAILURE upstream failure: two  lines\r\n"),
        (MeshError(Kind.INTERNAL, "a secret"), b"-ERR internal error of the proxy\r\n"),
    ],
)
def test_a_code_and_words(error: MeshError, said: bytes) -> None:
    assert words_for(error) == said
