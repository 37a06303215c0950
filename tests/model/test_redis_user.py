"""Users of a Redis listener as they are written."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from twisted_mesh.model.redis_user import RedisUser

SECRET = "sha256:" + "0a" * 32


def test_what_is_not_said_is_everything_but_a_password() -> None:
    assert RedisUser.model_validate({"name": "ann"}) == RedisUser(
        name="ann", passwords=(), commands=("@all",), read=None, write=None, channels=None
    )


def test_one_is_a_list_of_one() -> None:
    user = RedisUser.model_validate(
        {
            "name": "ann",
            "passwords": SECRET.upper().replace("SHA", "sha"),
            "commands": "-keys",
            "read": "a:",
            "write": [],
        }
    )
    assert (user.passwords, user.commands, user.read, user.write) == ((SECRET,), ("-KEYS",), ("a:",), ())
    assert RedisUser.model_validate(user.model_dump(mode="json")) == user


@pytest.mark.parametrize(
    ("written", "message"),
    [
        ({"name": "a b"}, "expected the name of a user"),
        ({"name": ""}, "expected the name of a user"),
        ({"commands": ["+nosuch"]}, "expected a command of Redis"),
        ({"commands": ["-@nosuch"]}, "classes of commands"),
        ({"read": ["~a:*"]}, "expected what keys or channels begin with"),
        ({"write": "a:*"}, "without ~, & and *"),
        ({"channels": ["news", "&all"]}, "expected what keys or channels begin with"),
        ({"passwords": "sha256:12"}, "expected sha256: and 64 hexadecimal digits"),
    ],
)
def test_what_is_refused(written: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError) as caught:
        RedisUser.model_validate({"name": "ann", **written})
    assert message in str(caught.value)


def test_a_password_in_clear_is_refused_and_not_repeated() -> None:
    with pytest.raises(ValidationError) as caught:
        RedisUser.model_validate({"name": "ann", "passwords": ["hunter2"]})
    assert "not kept in clear" in caught.value.errors()[0]["msg"]
    assert "hunter2" not in caught.value.errors()[0]["msg"]
