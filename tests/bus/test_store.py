"""What `meshctl` does with the configuration store, at a real server."""

from __future__ import annotations

from typing import Any, Callable

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from twisted.internet.defer import fail
from twisted.internet.task import Clock

from tests.bus.at_once import AtOnce
from tests.bus.direct import result_of as result
from tests.servers import Server
from twisted_mesh.bus.errors import BusError
from twisted_mesh.bus.keys import Keys
from twisted_mesh.bus.resource import Draft
from twisted_mesh.bus.store import ConfigStore, Trial, Written
from twisted_mesh.bus.store_errors import CanaryOpen, Clash, Conflict, NoCanary, NoOffer, NoSuchVersion, StoreError
from twisted_mesh.bus.stored import EMPTY

ANN = {"author": "ann", "reason": "why not"}
BOB = {"author": "bob", "reason": "because"}
KEYS = Keys("shop")


def values(store: ConfigStore) -> dict[str, Any]:
    return {name: each.value for name, each in result(store.read()).resources.items()}


def apply(store: ConfigStore, who: Any = ANN, expected: Any = None, canary: Any = None, **values: Any) -> Written:
    """Write ``web=1`` as ``clusters/web``; None deletes."""
    drafts = {f"clusters/{name}": None if value is None else Draft(value) for name, value in values.items()}
    written: Written = result(store.apply(drafts, expected=expected, canary=canary, **who))
    return written


# --- versions


def test_all_that_is_applied_at_once_is_one_version(store: ConfigStore, server: Server) -> None:
    with server.connect() as listening:
        listening("SUBSCRIBE", "mesh:{shop}:config")
        assert apply(store, web={"endpoints": []}, api=2) == (1, True)
        told = listening.read()
    found = result(store.read())
    assert {name: (each.version, each.author, each.reason) for name, each in found.resources.items()} == {
        "clusters/web": (1, "ann", "why not"),
        "clusters/api": (1, "ann", "why not"),
    }
    assert found.resources["clusters/web"].value == {"endpoints": []}
    assert (
        told == [b"message", b"mesh:{shop}:config", f'{{"version":1,"epoch":"{found.epoch}"}}'.encode()]
        or told[2] == f'{{"epoch":"{found.epoch}","version":1}}'.encode()
    )


def test_times_are_those_of_redis(store: ConfigStore, server: Server) -> None:
    """So that a clock that is an hour off misleads nobody."""
    before = float(server("TIME")[0])
    apply(store, web=1)
    assert before - 0.001 <= result(store.read()).resources["clusters/web"].at <= float(server("TIME")[0]) + 1


def test_what_differs_in_nothing_is_no_new_version(store: ConfigStore) -> None:
    apply(store, web=1)
    assert apply(store, BOB, web=1) == (1, False)
    assert apply(store, BOB, web=1, api=2, gone=None) == (2, True)
    assert result(store.history())[0].names == ("clusters/api",)


def test_deleting_takes_the_resource_away(store: ConfigStore) -> None:
    apply(store, web=1, api=2)
    before = result(store.read())
    assert result(store.delete(["clusters/web", "clusters/none"], **ANN)) == (2, True)
    after = result(store.read(before))
    assert after.resources.keys() == {"clusters/api"}
    assert after.changed == {"clusters/web"}


def test_meshes_know_nothing_of_each_other(store: ConfigStore, direct: AtOnce) -> None:
    apply(store, web=1)
    assert result(ConfigStore(direct, Keys("other"), clock=Clock()).read()) == EMPTY


def test_what_cannot_be_written_is_refused_before_anything_is(store: ConfigStore) -> None:
    with pytest.raises(ValueError, match="expected KIND/NAME"):
        result(store.apply({"clusters/web": Draft(1), "nonsense": Draft(2)}, **ANN))
    assert result(store.read()) == EMPTY


# --- two at once


def test_a_conflict_names_what_changed_and_who_did_it(store: ConfigStore) -> None:
    apply(store, web=1, api=1)
    apply(store, BOB, web=2)
    with pytest.raises(Conflict) as caught:
        apply(store, expected={"clusters/web": 1, "clusters/api": 1}, web=3, api=3)
    (clash,) = caught.value.clashes
    assert (clash.name, clash.seen, clash.version, clash.author, clash.reason) == (
        "clusters/web",
        1,
        2,
        "bob",
        "because",
    )
    assert "clusters/web was changed in version 2 by bob at " in str(clash)
    assert str(clash).endswith('("because"); you saw version 1')
    assert values(store) == {"clusters/web": 2, "clusters/api": 1}


def test_creating_what_somebody_created_is_a_conflict(store: ConfigStore) -> None:
    apply(store, BOB, web=1)
    with pytest.raises(Conflict, match="you saw none"):
        apply(store, expected={"clusters/web": 0}, web=2)


def test_changing_what_somebody_deleted_is_a_conflict(store: ConfigStore) -> None:
    apply(store, web=1)
    apply(store, BOB, web=None)
    with pytest.raises(Conflict, match="clusters/web was deleted in version 2 by bob"):
        apply(store, expected={"clusters/web": 1}, web=2)


def test_both_wanting_the_same_is_no_conflict(store: ConfigStore) -> None:
    apply(store, web=1)
    apply(store, BOB, web=2)
    assert apply(store, expected={"clusters/web": 1}, web=2) == (2, False)


# --- replies that are lost


def test_a_write_whose_reply_was_lost_happens_once(store: ConfigStore, direct: AtOnce) -> None:
    lost = iter([True, True])
    direct.lose = lambda script: next(lost, False)
    assert apply(store, expected={"clusters/web": 0}, web=1) == (1, True)
    assert direct.ran == ["config-apply"] * 3
    assert len(result(store.history())) == 1


@pytest.mark.parametrize("what", ["rollback", "promote"])
def test_so_do_the_others(store: ConfigStore, direct: AtOnce, what: str) -> None:
    apply(store, web=1)
    apply(store, web=2, canary=Trial(0.5))
    lost = iter([True])
    direct.lose = lambda script: next(lost, False)
    assert result(getattr(store, what)(**ANN)) == (3, True)
    assert len(result(store.history())) == 3


UNSURE = "; the change may have been written all the same, which `meshctl history` shows"


def test_replies_that_are_always_lost_are_an_error(store: ConfigStore, direct: AtOnce) -> None:
    """Whoever changed something must know that it may be in force."""
    direct.lose = lambda script: True
    with pytest.raises(BusError) as caught:
        apply(store, web=1)
    assert str(caught.value) == "no answer in time" + UNSURE
    assert (caught.value.kind, caught.value.sent) == ("timeout", True)
    direct.lose = lambda script: False
    assert [each.version for each in result(store.history())] == [1]


def test_a_server_that_is_gone_after_a_lost_reply_leaves_it_open_too(
    store: ConfigStore, direct: AtOnce, monkeypatch: pytest.MonkeyPatch
) -> None:
    direct.lose = lambda script: True
    monkeypatch.setattr(direct, "up", lambda timeout: fail(BusError("down", "connection refused", server="r:1")))
    with pytest.raises(BusError) as caught:
        apply(store, web=1)
    assert str(caught.value) == "redis r:1: connection refused" + UNSURE


def test_what_was_surely_not_written_is_not_said_to_be(
    store: ConfigStore, monkeypatch: pytest.MonkeyPatch, direct: AtOnce
) -> None:
    for error in (BusError("down", "no connection"), BusError("refused", "OOM no", code="OOM", sent=True)):
        monkeypatch.setattr(direct, "script", lambda *args, error=error: fail(error))
        with pytest.raises(BusError) as caught:
            apply(store, web=1)
        assert caught.value is error


# --- history and rollback


def test_the_history_says_who_did_what(store: ConfigStore) -> None:
    apply(store, web=1)
    apply(store, BOB, api=1)
    apply(store, web=2)
    assert [(each.version, each.kind, each.author, each.names) for each in result(store.history(2))] == [
        (3, "apply", "ann", ("clusters/web",)),
        (2, "apply", "bob", ("clusters/api",)),
    ]


def test_rolling_back_undoes_the_last_change(store: ConfigStore) -> None:
    apply(store, web=1)
    apply(store, web=2, api=1)
    assert result(store.rollback(**BOB)) == (3, True)
    assert values(store) == {"clusters/web": 1}
    found = result(store.read()).resources["clusters/web"]
    assert (found.version, found.author, found.reason) == (3, "bob", "because")
    assert result(store.history())[0].to == 1
    result(store.rollback(**BOB))
    assert values(store) == {"clusters/web": 2, "clusters/api": 1}


def test_rolling_back_to_any_version_that_is_kept(store: ConfigStore) -> None:
    states = [{}]
    for web in range(1, 8):
        apply(store, web=web, **{f"c{web % 3}": web if web % 2 else None})
        states.append(values(store))
    for version in (3, 6, 0, 7, 1):
        assert {name: each.value for name, each in result(store.at(version)).items()} == states[version]
        result(store.rollback(to=version, **ANN))
        assert values(store) == states[version]
    assert result(store.rollback(to=1, **ANN)).new is False


def test_what_is_not_kept_cannot_be_gone_back_to(store: ConfigStore) -> None:
    with pytest.raises(NoSuchVersion, match="nothing to undo"):
        result(store.rollback(**ANN))
    apply(store, web=1)
    for ask in (lambda: store.rollback(to=9, **ANN), lambda: store.at(9)):
        with pytest.raises(NoSuchVersion, match="there is no version 9 yet; the newest is 1"):
            result(ask())
    result(store.keep(2))
    for web in range(4):
        apply(store, web=web)
    for ask in (lambda: store.rollback(to=1, **ANN), lambda: store.at(1)):
        with pytest.raises(NoSuchVersion, match="version 1 is not kept any more; the oldest that is kept is 4"):
            result(ask())


def test_the_history_is_bounded(store: ConfigStore, server: Server) -> None:
    """100 versions unless it is said otherwise; nothing of what goes stays at Redis."""
    for web in range(105):
        apply(store, web=web)
    assert len(result(store.history(1000))) == 100
    assert server("HLEN", "mesh:{shop}:config:history") == 100 * 3 + 1
    result(store.keep(5))
    apply(store, other=1)
    for web in range(8):
        apply(store, web=-web - 1)
    assert [each.version for each in result(store.history(1000))] == [114, 113, 112, 111, 110]
    assert server("HLEN", "mesh:{shop}:config:history") == 5 * 3 + 2
    with pytest.raises(StoreError, match="2 versions at least"):
        result(store.keep(1))


def test_that_something_was_deleted_is_forgotten_with_its_version(store: ConfigStore, server: Server) -> None:
    """A reader from before that reads everything again."""
    result(store.keep(2))
    apply(store, web=1, api=1)
    old = result(store.read())
    apply(store, web=None)
    for api in range(2, 6):
        apply(store, api=api)
    assert server("ZCARD", "mesh:{shop}:config:changed") == 1
    new = result(store.read(old))
    assert values(store) == {"clusters/api": 5} == {name: each.value for name, each in new.resources.items()}
    assert new.changed == {"clusters/web", "clusters/api"}


# --- canaries


def test_promoting_gives_the_canary_to_all(store: ConfigStore) -> None:
    apply(store, web=1, old=1)
    assert apply(store, BOB, web=2, old=None, new=3, canary=Trial(0.1)) == (2, True)
    assert values(store) == {"clusters/web": 1, "clusters/old": 1}
    found = result(store.read())
    assert (found.canary.version, found.canary.share, found.canary.author) == (2, 0.1, "bob")
    assert set(found.canary.names) == {"clusters/web", "clusters/old", "clusters/new"}
    assert result(store.promote(version=2, **ANN)) == (3, True)
    assert values(store) == {"clusters/web": 2, "clusters/new": 3}
    assert result(store.read()).canary is None
    assert result(store.read()).trial == {}
    kinds = [(each.kind, each.share, each.canary) for each in result(store.history())]
    assert kinds == [("promote", None, 2), ("canary", 0.1, None), ("apply", None, None)]


def test_rolling_back_ends_the_canary_first(store: ConfigStore) -> None:
    apply(store, web=1)
    apply(store, web=2)
    apply(store, web=3, canary=Trial(0.1))
    assert result(store.rollback(**ANN)) == (4, True)
    assert values(store) == {"clusters/web": 2}
    assert result(store.read()).canary is None
    result(store.rollback(**ANN))
    assert values(store) == {"clusters/web": 1}


def test_rolling_back_to_a_version_ends_the_canary_too(store: ConfigStore) -> None:
    apply(store, web=1)
    apply(store, web=2)
    apply(store, web=3, canary=Trial(0.1))
    result(store.rollback(to=1, **ANN))
    found = result(store.read())
    assert (values(store), found.canary, found.trial) == ({"clusters/web": 1}, None, {})


def test_what_a_canary_has_nobody_else_changes(store: ConfigStore) -> None:
    apply(store, web=1, canary=Trial(0.1))
    with pytest.raises(CanaryOpen, match="there is a canary of version 1 \\(clusters/web\\) by ann"):
        apply(store, BOB, other=1, canary=Trial(0.1))
    with pytest.raises(Conflict, match="clusters/web is in the canary of version 1 by ann"):
        apply(store, BOB, web=5)
    assert apply(store, BOB, other=1) == (2, True)


def test_there_must_be_a_canary_to_promote_and_the_one_that_was_meant(store: ConfigStore) -> None:
    with pytest.raises(NoCanary, match="there is no canary"):
        result(store.promote(**ANN))
    apply(store, web=1, canary=Trial(0.1))
    with pytest.raises(NoCanary, match="the canary of version 7 has ended; there is a canary of version 1"):
        result(store.promote(version=7, **ANN))


@pytest.mark.parametrize("share", [0, 1, 10, -0.1])
def test_a_share_is_between_none_and_all(store: ConfigStore, share: float) -> None:
    with pytest.raises(ValueError, match="expected a share above 0 % and below 100 %"):
        apply(store, web=1, canary=Trial(share))


def test_the_end_of_a_canary_can_be_asked_for(store: ConfigStore) -> None:
    for version, ending in ((1, store.rollback), (3, lambda **who: store.rollback(to=2, **who)), (5, store.promote)):
        apply(store, web=version, canary=Trial(0.1))
        assert result(store.rolled_back(version)) is None
        result(ending(**BOB))
        ended = result(store.rolled_back(version))
        assert (ended and (ended.version, ended.author)) == (None if version == 5 else (version + 1, "bob"))


# --- when Redis has no room, or rubbish


def test_out_of_memory_nothing_is_half_written(redis_servers: Callable[..., Server]) -> None:
    server = redis_servers("--maxmemory-policy", "noeviction")
    store = ConfigStore(AtOnce(server), KEYS, clock=Clock())
    apply(store, web=1, api=1)
    apply(store, web=2, canary=Trial(0.5))
    before = {key: server("DUMP", key) for key in server("KEYS", "*")}
    server("CONFIG", "SET", "maxmemory", "1")
    writes: list[Callable[[], Any]] = [
        lambda: apply(store, api=3, more=4),
        lambda: result(store.promote(**ANN)),
        lambda: result(store.rollback(**ANN)),
        lambda: result(store.rollback(to=0, **ANN)),
    ]
    for write in writes:
        with pytest.raises(BusError) as caught:
            write()
        assert caught.value.code == "OOM"
    assert {key: server("DUMP", key) for key in server("KEYS", "*")} == before
    assert values(store) == {"clusters/web": 1, "clusters/api": 1}
    server("CONFIG", "SET", "maxmemory", "0")
    assert apply(store, api=3) == (3, True)


def test_what_others_wrote_into_the_keys_spoils_itself_only(store: ConfigStore, server: Server) -> None:
    apply(store, web=1, api=1)
    server("HSET", "mesh:{shop}:config:resources", "clusters/web", "rubbish")
    server("SET", "mesh:{shop}:config:canary", "[rubbish")
    server("HSET", "mesh:{shop}:config:history", "1", "{")
    found = result(store.read())
    assert "cannot be read" in found.resources["clusters/web"].problem
    assert found.resources["clusters/api"].value == 1
    assert apply(store, web=2) == (2, True)
    assert values(store) == {"clusters/web": 2, "clusters/api": 1}


def test_without_a_sidecar_ahead_there_is_nothing_to_restore(store: ConfigStore) -> None:
    apply(store, web=1)
    with pytest.raises(NoOffer, match="no sidecar has more than the store"):
        result(store.restore(wait=0, **ANN))


# --- any sequence of changes


CHANGES = st.lists(
    st.one_of(
        st.dictionaries(st.sampled_from("abcd"), st.one_of(st.none(), st.integers(0, 3)), min_size=1),
        st.tuples(st.just("rollback"), st.integers(0, 12)),
    ),
    max_size=12,
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=40)
@given(CHANGES, st.lists(st.integers(0, 12), max_size=5))
def test_any_sequence_comes_out_as_it_should_however_it_is_read(
    server: Server, direct: AtOnce, changes: list[Any], reads: list[int]
) -> None:
    """Against a plain model; who reads now and then what changed has what who reads everything has."""
    server("FLUSHALL")
    store = ConfigStore(direct, KEYS, clock=Clock())
    states: list[dict[str, Any]] = [{}]
    follower = EMPTY
    for at, change in enumerate(changes):
        if isinstance(change, tuple):
            to = change[1] % len(states)
            result(store.rollback(to=to, **ANN))
            wanted = states[to]
        else:
            apply(store, **change)
            wanted = {**states[-1], **{f"clusters/{name}": value for name, value in change.items()}}
            wanted = {name: value for name, value in wanted.items() if value is not None}
        if wanted != states[-1]:
            states.append(wanted)
        if at in reads:
            follower = result(store.read(follower))
            assert {name: each.value for name, each in follower.resources.items()} == wanted
    everything = result(store.read())
    assert {name: each.value for name, each in everything.resources.items()} == states[-1]
    assert everything.version == len(states) - 1
    assert result(store.read(follower)).records == everything.records


def test_a_conflict_says_why_where_that_was_said() -> None:
    clash = Clash("clusters/web", seen=1, version=2, author="bob", reason="faster")
    assert str(clash) == (
        'clusters/web was changed in version 2 by bob at 1970-01-01 00:00:00Z ("faster"); you saw version 1'
    )
    assert str(Clash("clusters/web", seen=1, version=2)).endswith(
        "by somebody at 1970-01-01 00:00:00Z; you saw version 1"
    )
