"""Users: passwords, commands, keys and channels."""

from __future__ import annotations

import pytest

from twisted_mesh.policy.acl import NO_CHANNEL, NO_KEY, User, Users, digest


def test_each_of_several_passwords_is_good() -> None:
    users = Users([User("ann", [digest(b"old"), digest(b"new")]), User("default", [digest(b"pw")])])
    assert users.needed
    for password in (b"old", b"new"):
        found = users.authenticate("ann", password)
        assert found is users.get("ann")
    assert users.authenticate("ann", b"pw") is None
    assert users.authenticate("ann", b"") is None
    assert users.authenticate("bob", b"old") is None
    # Not even the one that is compared for names that do not exist.
    assert users.authenticate("", b"") is None
    assert not Users().needed


def test_a_user_without_a_password_cannot_log_in() -> None:
    assert Users([User("mtls")]).authenticate("mtls", b"") is None


def test_commands() -> None:
    user = User("ann", operations={"GET", "CONFIG|GET"})
    assert user.refuses_command("GET", "get") == ""
    assert user.refuses_command("CONFIG|GET", "config|get") == ""
    assert user.refuses_command("SET", "SeT") == "NOPERM User ann has no permissions to run the 'set' command"
    assert User("bob").refuses_command("SET", "set") == ""


@pytest.mark.parametrize(
    ("reads", "writes", "channels", "refused"),
    [
        ([b"a:1"], [b"b:1"], [], ""),
        ([b"a:1", b"b:1"], [], [], NO_KEY),
        ([], [b"a:1"], [], NO_KEY),
        ([b"a:"], [], [], ""),
        ([b"A:1"], [], [], NO_KEY),
        ([], [], [b"news"], ""),
        ([], [], [b"old"], NO_CHANNEL),
        ([], [b"x"], [b"old"], NO_KEY),
    ],
)
def test_keys_and_channels(reads: list[bytes], writes: list[bytes], channels: list[bytes], refused: str) -> None:
    user = User("ann", reads=[b"a:", b"c:"], writes=[b"b:"], channels=[b"news"])
    assert user.by_keys
    assert user.refuses_keys(reads, writes, channels) == refused


def test_no_restriction_and_nothing_at_all_are_different() -> None:
    assert not User("ann").by_keys
    assert User("ann").refuses_keys([b"a"], [b"b"], [b"c"]) == ""
    assert User("ann", writes=[]).refuses_keys([b"a"], [], []) == ""
    assert User("ann", writes=[]).refuses_keys([], [b"a"], []) == NO_KEY
