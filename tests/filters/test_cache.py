"""Replies that are kept."""

from __future__ import annotations

from typing import Any, Optional

import pytest

from twisted_mesh.call import Reply
from twisted_mesh.headers import Headers
from twisted_mesh.testing import Chain, Env, FakeUpstream, Streamed, http_call


def fresh(body: bytes = b"kept", status: int = 200, **fields: str) -> Reply:
    given = {"cache_control": "max-age=60", **fields}
    return Reply(status, Headers.of([(name.replace("_", "-"), value) for name, value in given.items()]), body)


def chain(*steps: Any, **settings: Any) -> Chain:
    env = Env()
    return Chain([env.build("cache", **settings)], FakeUpstream(*steps), env)


def get(made: Chain, target: str = "/", headers: Optional[dict[str, str]] = None, method: str = "GET") -> Any:
    return made.call(http_call(method, target, headers))


def sent(made: Chain) -> int:
    return len(made.upstream.received)


def counted(made: Chain, result: str) -> float:
    return made.env.count("twisted_mesh_filter_cache_calls_total", "cache", result)


def test_a_reply_is_kept_while_it_is_fresh() -> None:
    made = chain(fresh(b"one"), fresh(b"two"))
    assert get(made).body == b"one"
    made.advance(59.0)
    again = get(made)
    assert (again.body, again.headers.get("age"), again.call.flags) == (b"one", "59", ("RFCF",))
    made.advance(1.0)
    assert get(made).body == b"two"
    assert (counted(made, "hit"), counted(made, "miss"), counted(made, "kept")) == (1, 2, 2)
    made.assert_idle()


def test_what_a_client_changes_of_a_reply_changes_nothing_kept() -> None:
    made = chain(fresh(x_a="b"))
    get(made)
    get(made).headers.set("x-a", "changed")
    assert get(made).headers.get("x-a") == "b"


def test_targets_hosts_and_varying_requests_are_told_apart() -> None:
    made = chain(lambda call: fresh(call.headers.get("accept", "").encode(), vary="Accept"))
    for accept in ("a", "b", "a", "b"):
        assert get(made, headers={"accept": accept}).body == accept.encode()
    assert sent(made) == 2
    get(made, "/?x=1", {"accept": "a"})
    made.call(http_call("GET", "/", {"accept": "a"}, host="other.example"))
    assert sent(made) == 4


@pytest.mark.parametrize(
    ("method", "headers"),
    [
        ("HEAD", {}),
        ("GET", {"range": "bytes=0-1"}),
        ("GET", {"cache-control": "no-store"}),
        ("GET", {"cache-control": "no-cache"}),
        ("GET", {"pragma": "no-cache"}),
        ("OPTIONS", {}),
    ],
)
def test_calls_that_no_kept_reply_is_for(method: str, headers: dict[str, str]) -> None:
    made = chain(fresh())
    get(made)
    get(made, headers=headers, method=method)
    assert sent(made) == 2


def test_callers_with_credentials() -> None:
    made = chain(fresh())
    for _ in range(2):
        get(made, headers={"authorization": "Bearer x"})
    assert sent(made) == 2
    public = chain(fresh(cache_control="public, max-age=60"))
    for _ in range(2):
        get(public, headers={"authorization": "Bearer x"})
    assert sent(public) == 1


def test_a_change_drops_what_is_kept() -> None:
    made = chain(fresh())
    get(made)
    get(made, method="DELETE")
    get(made)
    assert sent(made) == 3
    refused = chain(fresh(), Reply(403), fresh())
    get(refused)
    get(refused, method="PUT")
    get(refused)
    assert sent(refused) == 2


def test_conditional_calls_and_calls_for_the_cache_only() -> None:
    made = chain(fresh(etag='"v1"'))
    assert get(made, headers={"cache-control": "only-if-cached"}).status == 504
    get(made)
    same = get(made, headers={"if-none-match": 'W/"v1"'})
    assert (same.status, same.body, same.headers.get("etag")) == (304, b"", '"v1"')
    assert get(made, headers={"if-none-match": '"v2"'}).status == 200
    assert sent(made) == 1


def test_streams_are_kept_where_their_length_is_known_and_small() -> None:
    made = chain(Streamed([b"a", b"b"], every=0.1), ttl="1m")
    first = get(made)
    made.advance(0.5)
    assert first.body == b"ab"
    get(made)
    assert sent(made) == 2
    assert counted(made, "unkept") >= 1


def test_memory_is_bounded() -> None:
    made = chain(fresh(b"x" * 1000), size=8000, largest=1000)
    for number in range(50):
        get(made, f"/{number}")
    assert made.env.count("twisted_mesh_filter_cache_bytes", "cache") <= 8000
    get(made, "/49")
    assert (sent(made), counted(made, "hit")) == (50, 1)
    get(made, "/0")
    assert sent(made) == 51
    assert counted(made, "dropped") > 40


def test_variants_of_one_target_are_bounded() -> None:
    made = chain(fresh(vary="x-user"))
    for number in range(20):
        get(made, headers={"x-user": str(number)})
    assert counted(made, "dropped") == 12


def test_what_is_too_large_is_passed_on() -> None:
    made = chain(fresh(b"x" * 101), largest=100)
    assert len(get(made).body) == 101
    get(made)
    assert (sent(made), counted(made, "unkept")) == (2, 2)


def test_longest_and_ttl() -> None:
    made = chain(fresh(cache_control="max-age=1000"), longest="5s")
    get(made)
    made.advance(5.0)
    get(made)
    assert sent(made) == 2
    silent = chain(Reply(200, body=b"x"), ttl="2s")
    get(silent)
    get(silent)
    silent.advance(2.0)
    get(silent)
    assert sent(silent) == 2


def test_explained() -> None:
    env = Env()
    each: Any = env.build("cache")
    made = Chain([each], FakeUpstream(fresh()), env)
    assert each.explain(http_call()).verdict == "pass"
    get(made)
    assert each.explain(http_call()).verdict == "reply"
    assert each.explain(http_call("POST")).verdict == "pass"
    assert (sent(made), counted(made, "hit")) == (1, 0)


def test_settings_are_checked() -> None:
    with pytest.raises(ValueError, match="largest"):
        Env().build("cache", size=10, largest=10)
