"""What commands read and write, held against a server's own judgement."""

from __future__ import annotations

from typing import Any

import pytest

from tests.servers import Server
from twisted_mesh.codec.command_access import access
from twisted_mesh.codec.commands import find


def judged(*words: str) -> Any:
    given = [word.encode() for word in words]
    command = find(given[0], given[1] if len(given) > 1 else None)
    assert command is not None
    return access(command, given)


@pytest.mark.parametrize(
    ("words", "reads", "writes", "channels"),
    [
        ("GET a", "a", "", ""),
        ("SET a 1", "", "a", ""),
        ("SET a 1 get", "a", "a", ""),
        ("SET a get", "", "a", ""),
        ("INCR a", "a", "a", ""),
        ("APPEND a 1", "", "a", ""),
        ("COPY a b", "a", "b", ""),
        ("MGET a b c", "a b c", "", ""),
        ("MSET a 1 b 2", "", "a b", ""),
        ("RENAME a b", "a", "a b", ""),
        ("PFCOUNT a b", "a b", "", ""),
        ("BITFIELD a GET u8 0", "a", "", ""),
        ("BITFIELD a SET u8 0 1", "a", "a", ""),
        ("SORT a", "a", "", ""),
        ("SORT a STORE b", "a", "b", ""),
        ("EVAL x 2 a b c", "a b", "a b", ""),
        ("EVAL_RO x 1 a b", "a", "", ""),
        ("ZUNIONSTORE d 2 a b", "a b", "d", ""),
        ("XREAD COUNT 1 STREAMS a b 0 0", "a b", "", ""),
        ("SUBSCRIBE a b", "", "", "a b"),
        ("PUBLISH a b", "", "", "a"),
        ("SPUBLISH a b", "", "", "a"),
        ("PING", "", "", ""),
        ("OBJECT ENCODING a", "a", "", ""),
    ],
)
def test_what_it_touches(words: str, reads: str, writes: str, channels: str, redis_server: Server) -> None:
    found = judged(*words.split())
    assert [b" ".join(each).decode() for each in found] == [reads, writes, channels]
    if channels:
        return
    # Who may do just that may send it as far as the server is concerned, and who lacks one of the keys may not.
    asked = words.split()
    rights = [f"%R~{key}" for key in reads.split()] + [f"%W~{key}" for key in writes.split()]
    redis_server("ACL", "SETUSER", "ann", "reset", "on", "+@all", *rights)
    assert redis_server("ACL", "DRYRUN", "ann", *asked) == b"OK"
    for lacking in rights:
        redis_server("ACL", "SETUSER", "ann", "reset", "on", "+@all", *(each for each in rights if each != lacking))
        assert redis_server("ACL", "DRYRUN", "ann", *asked) != b"OK"


@pytest.mark.parametrize(
    ("words", "reads"),
    [
        ("SORT a BY w_*->f GET # GET v_* LIMIT 0 1", "a w_ v_"),
        ("SORT_RO a BY nosort GET b", "a b"),
        ("SORT a ASC GET *", "a "),
    ],
)
def test_what_sort_looks_up(words: str, reads: str) -> None:
    assert [each.decode() for each in judged(*words.split()).reads] == reads.split(" ")
