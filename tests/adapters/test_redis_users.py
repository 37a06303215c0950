"""Users as connections see them."""

from __future__ import annotations

from hashlib import sha256

from twisted_mesh.adapters.redis_users import allowed, users
from twisted_mesh.model.redis_user import RedisUser


def test_all_of_it_is_taken_over() -> None:
    hashes = [f"sha256:{sha256(each).hexdigest()}" for each in (b"old", b"new")]
    made = users([RedisUser(name="ann", passwords=tuple(hashes), read=("a:",), write=(), commands=("@read", "-KEYS"))])
    ann = made.authenticate("ann", b"new")
    assert ann is not None
    assert ann is made.authenticate("ann", b"old")
    assert (ann.reads, ann.writes, ann.channels) == ((b"a:",), (), None)
    assert [ann.refuses_command(each, each) == "" for each in ("GET", "SET", "KEYS")] == [True, False, False]


def test_rules_go_one_after_the_other() -> None:
    assert allowed(["@all"]) is None
    assert allowed([]) == frozenset()
    assert allowed(["GET", "SET", "-GET"]) == {"SET"}
    # The container is named beside its subcommands, which is what one that does not exist goes as.
    assert allowed(["-@all", "CONFIG|GET"]) == {"CONFIG|GET"}
    most = allowed(["-@dangerous"])
    assert most is not None
    assert {"GET", "SET", "CONFIG|GET"} & most == {"GET", "SET"}
    assert "FLUSHALL" in (allowed(["-@dangerous", "FLUSHALL"]) or ())


def test_scripts_are_for_whoever_has_all_keys_or_is_named_them() -> None:
    def may(*commands: str, **limits: tuple[str, ...]) -> list[bool]:
        (ann,) = [users([RedisUser(name="ann", commands=commands, **limits)]).get("ann")]
        assert ann is not None
        return [ann.refuses_command(each, each) == "" for each in ("EVALSHA", "FCALL_RO", "GET")]

    assert may("@all") == may("-@dangerous") == [True, True, True]
    for limits in ({"read": ("a:",)}, {"write": ("a:",)}, {"channels": ("a:",)}):
        assert may("@all", **limits) == may("-@dangerous", **limits) == [False, False, True]
        assert may("@all", "EVALSHA", **limits) == [True, False, True]
        assert may("@scripting", **limits) == [True, True, False]
        assert may("-@all", "GET", **limits) == [False, False, True]
