"""What the balances that hash go by: forms and refusals."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from twisted_mesh.model.hashing import Hashing, HashKey


def test_a_key_is_a_word_or_an_object_and_several_are_a_list() -> None:
    assert Hashing.model_validate({"key": "host"}).key == (HashKey(part="host"),)
    assert Hashing.model_validate({"key": {"cookie": "sid"}}).key == (HashKey(cookie="sid"),)
    written = {"key": [{"header": "x-user"}, {"query": "user"}, "source"]}
    assert Hashing.model_validate(written).key == (
        HashKey(header="x-user"),
        HashKey(query="user"),
        HashKey(part="source"),
    )


def test_the_defaults_are_those_of_the_documentation() -> None:
    hashing = Hashing.model_validate({})
    assert hashing.key == (HashKey(part="source"),)
    assert (hashing.ring_size, hashing.table_size) == (1024, 65_537)


@pytest.mark.parametrize(
    ("written", "message"),
    [
        ({"key": "cookie"}, "'source', 'host', 'path', 'key' or 'identity'"),
        ({"key": {}}, "expected source, host, path, key, identity, or one of header, cookie and query"),
        ({"key": {"header": "a", "cookie": "b"}}, "or one of header, cookie and query"),
        ({"key": {"header": "a b"}}, "header"),
        ({"key": []}, "expected at least one"),
        ({"table_size": 65_536}, "expected a prime, such as 65537"),
        ({"table_size": 5_000_012}, "less than or equal to 5000011"),
        ({"bound": 1.0}, "greater than 1"),
        ({"ring_size": 0}, "greater than or equal to 1"),
    ],
)
def test_what_is_wrong_is_refused(written: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        Hashing.model_validate(written)
