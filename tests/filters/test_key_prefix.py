"""Tenants that share a server and do not know of each other."""

from __future__ import annotations

from typing import Any

import pytest

from tests.filters.redis_calls import Echo, lines, several
from twisted_mesh.chain import Driver
from twisted_mesh.codec.resp import array, bulk
from twisted_mesh.errors import Kind, MeshError
from twisted_mesh.redis_call import RedisReply
from twisted_mesh.redis_session import Session
from twisted_mesh.stream import ByteStream
from twisted_mesh.testing import Env


def run(call: Any, upstream: Any, prefix: str = "t:") -> Any:
    confined: Any = Env().build("key_prefix", prefix=prefix)
    outcomes: list[Any] = []
    Driver(call, lambda call, reply, error: outcomes.append(error or reply)).start(
        lambda call: confined(call, upstream)
    )
    (outcome,) = outcomes
    if isinstance(outcome, BaseException):
        raise outcome
    return outcome


def test_each_command_of_a_call() -> None:
    upstream = Echo()
    call = several("SET a 1", "GET b", "MGET c d")
    assert lines(run(call, upstream)) == ["+SET t:a 1", "+GET t:b", "+MGET t:c t:d"]
    assert (upstream.keys, call.resource) == ([b"t:a"], "t:a")


def test_channels_are_no_keys_also_where_they_decide_the_server() -> None:
    upstream = Echo()
    assert lines(run(several("SPUBLISH news now"), upstream)) == ["+SPUBLISH news now"]
    assert upstream.keys == [b"news"]


def test_by_who_the_client_is() -> None:
    upstream = Echo()
    call = several("GET a")
    with pytest.raises(MeshError, match="whose keys these are") as caught:
        run(call, upstream, "%IDENTITY%:%LISTENER%:")
    assert caught.value.kind is Kind.DENIED
    call.identity = "ann"
    assert lines(run(call, upstream, "%IDENTITY%:%LISTENER%:")) == ["+GET ann:db:a"]


def test_replies_that_name_keys() -> None:
    def says(call: Any) -> RedisReply:
        return RedisReply(array([bulk(b"t:a"), bulk(b"t:b")]))

    assert run(several("KEYS *"), Echo(says)).body == array([bulk(b"a"), bulk(b"b")])
    assert run(several("BLPOP a 0"), Echo(says)).body == array([bulk(b"a"), bulk(b"t:b")])
    # A value that happens to begin so is nobody's key.
    assert run(several("LRANGE a 0 1"), Echo(says)).body == array([bulk(b"t:a"), bulk(b"t:b")])


def test_an_error_about_a_group_names_the_key_as_the_tenant_does() -> None:
    error = b"-NOGROUP No such key 't:x' or consumer group 'g'\r\n"
    for commands in (["XPENDING x g"], ["GET a", "XPENDING x g"], ["XREADGROUP GROUP g me STREAMS x >"]):
        reply = bulk(b"t:x") * (len(commands) - 1) + error
        heard = run(several(*commands), Echo(lambda call, reply=reply: RedisReply(reply, call.count, errors=1)))
        assert heard.body == reply.replace(b"'t:x'", b"'x'")
        assert (heard.count, heard.errors) == (len(commands), 1)


def test_what_is_for_all_keys_is_denied() -> None:
    upstream = Echo()
    with pytest.raises(MeshError, match="FLUSHALL is for all keys") as caught:
        run(several("FLUSHALL"), upstream)
    assert caught.value.kind is Kind.DENIED
    assert upstream.seen == []


def test_a_value_that_is_still_coming() -> None:
    call = several("SET a 1")
    call.body = ByteStream()
    seen: list[bytes] = []

    async def upstream(call: Any) -> Any:
        seen.append(await call.body.collect(1000))
        return RedisReply(b"+OK\r\n")

    confined: Any = Env().build("key_prefix", prefix="t:")
    outcomes: list[Any] = []
    body = call.body
    Driver(call, lambda call, reply, error: outcomes.append(error or reply)).start(
        lambda call: confined(call, upstream)
    )
    body.write(b"*3\r\n$3\r\nSET\r\n$1\r\na\r\n$4\r\nab")
    body.write(b"cd\r\n")
    body.end()
    assert seen == [b"*3\r\n$3\r\nSET\r\n$3\r\nt:a\r\n$4\r\nabcd\r\n"]
    assert call.key == b"t:a"


@pytest.mark.parametrize(
    ("prefix", "said"),
    [
        ("", "prefix must not be empty"),
        ("%NOSUCH%:", "may hold %IDENTITY% and %LISTENER%, got %NOSUCH%:"),
        ("50%:", "got 50%:"),
    ],
)
def test_prefixes_that_are_none(prefix: str, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        Env().build("key_prefix", prefix=prefix)


def test_a_client_is_told_of_its_keys_by_their_names_and_not_of_those_of_others() -> None:
    told: list[bytes] = []
    call = several("CLIENT TRACKING ON")
    call.session = Session(told.append, lambda why: None)
    run(call, Echo())
    call.session.tell(b">2\r\n$10\r\ninvalidate\r\n*1\r\n$3\r\nt:a\r\n")
    call.session.tell(b">4\r\n$8\r\npmessage\r\n$1\r\n*\r\n$18\r\n__keyspace@0__:u:b\r\n$3\r\nset\r\n")
    call.session.tell(b"+else\r\n")
    assert told == [b">2\r\n$10\r\ninvalidate\r\n*1\r\n$1\r\na\r\n", b"+else\r\n"]
