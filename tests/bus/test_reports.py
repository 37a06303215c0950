"""What sidecars report, what comes of a canary by it, and what they give back to a store that lost it."""

from __future__ import annotations

from typing import Any, Optional

import pytest

from tests.bus.at_once import AtOnce
from tests.bus.direct import result_of as result
from tests.servers import Server
from tests.support import until
from twisted_mesh.bus.keys import Keys
from twisted_mesh.bus.reports import Heard, Reporter
from twisted_mesh.bus.resource import Draft
from twisted_mesh.bus.store import ConfigStore, Trial
from twisted_mesh.bus.store_errors import NoOffer, StoreBehind
from twisted_mesh.bus.stored import EMPTY, Nack, Stored
from twisted_mesh.bus.tally import Tally
from twisted_mesh.families import Families
from twisted_mesh.metrics import Registry
from twisted_mesh.policy.canary import place
from twisted_mesh.policy.selector import Who

ANN = {"author": "ann", "reason": "why not"}
KEYS = Keys("shop")
# By their places: the first is the first canary.
NODES = sorted((f"web-{each}" for each in range(10)), key=place)


class Sidecar:
    """A reporter, and the calls that its sidecar had."""

    def __init__(self, direct: AtOnce, node: str, lease: float = 60.0, **who: Any) -> None:
        self.families = Families(Registry())
        self.direct = direct
        self.reporter = Reporter(direct, KEYS, Who(node, **who), Tally(self.families), lease=lease, software="1.2")

    def calls(self, good: int, bad: int = 0) -> None:
        self.families.calls.labels("http", "edge", "r", "c", "2xx", "-").value += good
        self.families.calls.labels("http", "edge", "r", "c", "5xx", "UF").value += bad

    def take(self, stored: Stored, *nacks: Nack) -> Heard:
        self.reporter.take(stored, nacks, 0.004)
        return self.report()

    def report(self) -> Heard:
        heard: Heard = result(self.reporter.send())
        return heard


def apply(store: ConfigStore, canary: Optional[Trial] = None, force: bool = False, **values: Any) -> Stored:
    """Write ``web=1`` as ``clusters/web``, and return the store."""
    drafts = {f"clusters/{name}": None if value is None else Draft(value) for name, value in values.items()}
    result(store.apply(drafts, canary=canary, force=force, **ANN))
    found: Stored = result(store.read())
    return found


# --- reports


def test_the_status_shows_what_each_sidecar_said(store: ConfigStore, direct: AtOnce) -> None:
    one, two, late = (Sidecar(direct, each, zone="a", labels={"v": "1"}) for each in ("a", "b", "c"))
    old = apply(store, web=1)
    late.take(old)
    new = apply(store, web=2, bad=1)
    one.calls(8, 2)
    one.take(new)
    two.take(new, Nack("clusters/bad", 2, "endpoints: expected a list"))
    status = result(store.status())
    assert (status.version, status.epoch, status.behind, status.offer) == (2, new.epoch, "", "")
    assert [(each.node, each.step, each.state) for each in status.sidecars] == [
        ("a", "in step", "ack"),
        ("b", "in step", "nack"),
        ("c", "behind", "ack"),
    ]
    said = status.sidecars[0]
    assert (said.report.version, said.report.took, said.report.zone, said.report.labels) == (2, 0.004, "a", {"v": "1"})
    assert (said.error_share, status.sidecars[1].error_share, said.report.software) == (0.2, None, "1.2")
    assert 0 <= said.age < 30 < said.left <= 60
    assert status.nacks == [("b", Nack("clusters/bad", 2, "endpoints: expected a list"))]
    assert [each.node for each in status.waiting_for(2)] == ["c"]


def test_a_report_ends_with_its_lease(store: ConfigStore, direct: AtOnce, server: Server) -> None:
    """Whoever looks sweeps it, by the clock of Redis."""
    Sidecar(direct, "gone", lease=0.001).take(apply(store, web=1))
    Sidecar(direct, "here").take(result(store.read()))
    until(lambda: [each.node for each in result(store.status()).sidecars] == ["here"])
    assert server("HKEYS", "mesh:{shop}:sidecars:records") == [b"here"]


def test_who_leaves_is_not_waited_for(store: ConfigStore, direct: AtOnce) -> None:
    one = Sidecar(direct, "a")
    one.take(apply(store, web=1))
    result(one.reporter.leave())
    assert result(store.status()).sidecars == ()


def test_a_report_stays_small_whatever_is_refused(store: ConfigStore, direct: AtOnce) -> None:
    one = Sidecar(direct, "a")
    one.take(apply(store, web=1), *(Nack(f"clusters/c{each}", 1, "x" * 5000) for each in range(60)))
    said = result(store.status()).sidecars[0].report
    assert (len(said.nacks), said.more, len(said.nacks[0].reason)) == (50, 10, 500)


def test_what_others_wrote_among_the_reports_is_passed_over(store: ConfigStore, direct: AtOnce, server: Server) -> None:
    Sidecar(direct, "a").take(apply(store, web=1))
    server("HSET", "mesh:{shop}:sidecars:records", "b", "rubbish")
    assert [each.node for each in result(store.status()).sidecars] == ["a"]


def test_a_canary_that_others_wrote_badly_spoils_no_report(store: ConfigStore, direct: AtOnce, server: Server) -> None:
    one = Sidecar(direct, "a")
    found = apply(store, Trial(0.5), web=1)
    for text in ("rubbish", "[]", '{"version":1}', '{"version":"1","share":0.5,"bound":1,"margin":0,"least_calls":1}'):
        server("SET", "mesh:{shop}:config:canary", text)
        assert one.take(found).ended == 0
        assert result(store.status()).canary is None


def test_a_report_hears_of_a_newer_version(store: ConfigStore, direct: AtOnce) -> None:
    one = Sidecar(direct, "a")
    assert one.report()[:4] == ("", 0, False, 0)
    found = apply(store, web=1)
    assert one.report() == (found.epoch, 1, False, 0, False)


# --- canaries


def fleet(direct: AtOnce) -> list[Sidecar]:
    return [Sidecar(direct, each) for each in NODES]


def begin(store: ConfigStore, sidecars: list[Sidecar], **settings: Any) -> Stored:
    """Begin a canary of a tenth, that all know of."""
    base = apply(store, web=1, other=1)
    for each in sidecars:
        each.take(base)
    settings.setdefault("settle", 0.0)
    found = apply(store, Trial(0.1, **settings), web=2)
    for each in sidecars:
        each.take(found)
    return found


def test_the_share_is_that_of_the_live_sidecars(store: ConfigStore, direct: AtOnce) -> None:
    sidecars = fleet(direct)
    begin(store, sidecars)
    assert [each.node for each in result(store.status()).sidecars if each.report.canary] == [NODES[0]]
    assert [each.reporter.side for each in sidecars] == ["canary"] + ["other"] * 9


def test_those_whom_a_canary_does_not_concern_do_not_count(store: ConfigStore, direct: AtOnce) -> None:
    sidecars = [Sidecar(direct, each, zone="a" if at > 4 else "b") for at, each in enumerate(NODES)]
    for each in sidecars:
        each.report()
    result(store.apply({"clusters/web": Draft(1, {"zone": "a"})}, canary=Trial(0.1), **ANN))
    for each in sidecars:
        each.take(result(store.read()))
    assert [each.reporter.side for each in sidecars] == [""] * 5 + ["canary"] + ["other"] * 4


def test_a_canary_that_is_refused_rolls_itself_back(store: ConfigStore, direct: AtOnce) -> None:
    sidecars = fleet(direct)
    found = begin(store, sidecars)
    heard = sidecars[0].take(found, Nack("clusters/web", 2, "no such thing"))
    assert heard.ended == 3
    after = result(store.read())
    assert (after.canary, after.trial, after.version) == (None, {}, 3)
    entry = result(store.history(1))[0]
    assert (entry.kind, entry.canary, entry.author) == ("rollback", 2, "the canary itself")
    assert entry.reason == f"canary of version 2: {NODES[0]} refused clusters/web: no such thing"


def test_it_is_decided_once_however_many_look(store: ConfigStore, direct: AtOnce) -> None:
    sidecars = fleet(direct)
    found = begin(store, sidecars, least_calls=1)
    for each in sidecars:
        each.calls(0, 10)
    sidecars[0].take(found, Nack("clusters/web", 2, "no"))
    for _ in range(2):
        for each in sidecars:
            each.take(found, Nack("clusters/web", 2, "no"))
    assert [each.kind for each in result(store.history())] == ["rollback", "canary", "apply"]


def test_what_was_refused_before_is_not_the_canarys_fault(store: ConfigStore, direct: AtOnce) -> None:
    one, two = (Sidecar(direct, each) for each in NODES[:2])
    base = apply(store, web=1, other=1)
    bad = Nack("clusters/other", 1, "bad all along")
    for each in (one, two):
        each.take(base, bad)
    found = apply(store, Trial(0.5), web=2)
    assert one.take(found, bad).ended == 0
    assert two.take(found, Nack("clusters/web", 2, "I am no canary")).ended == 0
    assert one.take(found, bad, Nack("routes/x", 1, "needs clusters/web")).ended == 3


def test_a_canary_with_more_errors_than_the_others_rolls_itself_back(store: ConfigStore, direct: AtOnce) -> None:
    sidecars = fleet(direct)
    begin(store, sidecars)
    for each in sidecars:
        each.calls(97, 3)
        assert each.report().ended == 0
    counted = result(store.status()).counted
    assert (counted.calls, counted.errors, counted.other_calls, counted.other_errors) == (100, 3, 900, 27)
    sidecars[0].calls(0, 6)
    assert sidecars[0].report().ended == 3
    reason = result(store.history(1))[0].reason
    assert reason == (
        "canary of version 2: of the canaries 8.5 % of 106 calls failed, of the others 3.0 % of 900; "
        "more than 5 points apart"
    )


def test_calls_are_not_judged_before_all_have_reported_some(store: ConfigStore, direct: AtOnce, server: Server) -> None:
    """A trouble that all have would look like one of the canaries."""
    sidecars = fleet(direct)
    begin(store, sidecars, settle=60.0)
    sidecars[0].calls(100, 100)
    assert sidecars[0].report().ended == 0
    server(
        "SET",
        "mesh:{shop}:config:canary",
        server("GET", "mesh:{shop}:config:canary").replace(b'"settle":60', b'"settle":0'),
    )
    assert sidecars[0].report().ended == 3


def test_the_margin_and_the_least_number_of_calls_are_set(store: ConfigStore, direct: AtOnce) -> None:
    sidecars = fleet(direct)
    begin(store, sidecars, margin=0.5, least_calls=10)
    sidecars[0].calls(0, 9)
    assert sidecars[0].report().ended == 0
    sidecars[0].calls(9, 0)
    assert sidecars[0].report().ended == 0
    sidecars[0].calls(0, 1)
    assert sidecars[0].report().ended == 3


def test_calls_are_counted_once_though_a_reply_was_lost_and_from_the_canary_on(
    store: ConfigStore, direct: AtOnce
) -> None:
    sidecars = fleet(direct)
    for each in sidecars:
        each.calls(1000, 1000)
    begin(store, sidecars)
    sidecars[0].calls(10, 1)
    for _ in range(3):
        sidecars[0].report()
    counted = result(store.status()).counted
    assert (counted.calls, counted.errors, counted.other_calls) == (11, 1, 0)


def test_a_sidecar_that_restarts_keeps_what_it_had_counted(store: ConfigStore, direct: AtOnce) -> None:
    sidecars = fleet(direct)
    found = begin(store, sidecars)
    sidecars[0].calls(10, 2)
    sidecars[0].report()
    again = Sidecar(direct, NODES[0])
    again.take(found)
    again.calls(5, 1)
    again.report()
    counted = result(store.status()).counted
    assert (counted.calls, counted.errors) == (18, 3)


# --- a store that lost what sidecars have


def lost(server: Server, sidecars: list[Sidecar]) -> list[Heard]:
    server("FLUSHALL")
    return [each.report() for each in sidecars]


def test_a_store_that_was_emptied_is_restored_from_a_sidecar(
    store: ConfigStore, direct: AtOnce, server: Server
) -> None:
    one, two = Sidecar(direct, "a"), Sidecar(direct, "b")
    result(store.apply({"routes/x": Draft([1], {"zone": "z"})}, author="bob", reason="first"))
    old = apply(store, **{f"c{each}": {"n": each} for each in range(150)})
    for each in (one, two):
        each.take(old)
    heard = lost(server, [one, two])
    assert heard[0] == ("", 0, True, 0, False)
    status = result(store.status())
    assert status.behind == ("the store is behind the sidecars: it is empty, b has version 2 of what was there before")
    assert {each.step for each in status.sidecars} == {"ahead"}
    assert result(one.reporter.offer()) is True
    assert [one.report().wanted, two.report().wanted] == [False, False]
    assert result(store.status()).offer == "a"
    assert result(store.restore(**ANN)) == (3, True)
    new = result(store.read())
    assert {name: each.record for name, each in new.resources.items()} == {
        name: each.record for name, each in old.resources.items()
    }
    assert new.epoch.startswith("3-")
    assert [(each.kind, each.node) for each in result(store.history())] == [("restore", "a")]
    # All follow it, as it began above what they have.
    assert result(store.read(old)).epoch == new.epoch
    one.take(new)
    two.report()
    status = result(store.status())
    assert status.behind == ""
    assert [each.step for each in status.sidecars] == ["in step", "behind"]


def test_until_then_nothing_is_written_unless_one_begins_anew(
    store: ConfigStore, direct: AtOnce, server: Server
) -> None:
    one = Sidecar(direct, "a")
    old = apply(store, web=1, api=1)
    one.take(old)
    lost(server, [one])
    assert result(store.read(old)) is old
    for write in (
        lambda: apply(store, web=5),
        lambda: result(store.promote(**ANN)),
        lambda: result(store.rollback(**ANN)),
    ):
        with pytest.raises(StoreBehind, match="the store is empty, but a runs version 1 of what it had before"):
            write()
    new = apply(store, force=True, web=5)
    assert new.version == 2
    assert result(store.read(old)).resources.keys() == {"clusters/web"}
    assert result(store.status()).behind == ""


def test_a_store_that_began_anew_by_accident_is_not_followed(
    store: ConfigStore, direct: AtOnce, server: Server
) -> None:
    """Somebody applied before any sidecar had reported, even more versions than there were."""
    one = Sidecar(direct, "a")
    old = apply(store, web=1)
    one.take(old)
    server("FLUSHALL")
    for each in range(5):
        apply(store, web=each)
    assert result(store.read(old)) is old
    assert one.report().wanted
    assert "it has version 5, a has version 1" in result(store.status()).behind
    result(one.reporter.offer())
    assert result(store.restore(**ANN)) == (6, True)
    assert result(store.read(old)).resources["clusters/web"].value == 1


def test_a_store_that_went_back_is_not_followed(store: ConfigStore, direct: AtOnce, server: Server) -> None:
    """As after a failover to a replica that had not heard of the last version."""
    one = Sidecar(direct, "a")
    apply(store, web=1)
    before = [(key, server("DUMP", key)) for key in server("KEYS", "*")]
    new = apply(store, web=2)
    one.take(new)
    server("FLUSHALL")
    for key, dump in before:
        server("RESTORE", key, 0, dump)
    assert result(store.read(new)) is new
    assert one.report().wanted
    result(one.reporter.offer())
    assert result(store.restore(**ANN)) == (3, True)
    assert result(store.read(new)).resources["clusters/web"].value == 2


def test_a_certain_sidecar_is_asked(store: ConfigStore, direct: AtOnce, server: Server) -> None:
    sidecars = [Sidecar(direct, each) for each in "ab"]
    old = apply(store, web=1)
    for each in sidecars:
        each.take(old)
    lost(server, sidecars)
    result(sidecars[0].reporter.offer())
    with pytest.raises(NoOffer, match="b does not offer its configuration"):
        result(store.restore(node="b", wait=0, **ANN))
    assert [each.report().wanted for each in sidecars] == [False, True]
    assert result(sidecars[1].reporter.offer())
    assert result(store.restore(node="b", **ANN)).new
    assert result(store.history(1))[0].node == "b"


def test_half_an_offer_is_none(store: ConfigStore, direct: AtOnce, server: Server) -> None:
    one = Sidecar(direct, "a")
    one.take(apply(store, **{f"c{each}": each for each in range(150)}))
    lost(server, [one])
    parts = iter([True])
    direct.lose = lambda script: next(parts, False)
    with pytest.raises(Exception, match="no answer"):
        result(one.reporter.offer())
    direct.lose = lambda script: False
    with pytest.raises(NoOffer, match="a has version 1 but did not offer it in time"):
        result(store.restore(wait=0, **ANN))
    assert one.report().wanted
    assert server("PTTL", "mesh:{shop}:config:offer") <= 60_000
    assert result(one.reporter.offer())
    assert server("PTTL", "mesh:{shop}:config:offer") > 60_000


def test_once_those_ahead_are_gone_the_store_is_written_again(
    store: ConfigStore, direct: AtOnce, server: Server
) -> None:
    one = Sidecar(direct, "a", lease=0.01)
    one.take(apply(store, web=1))
    lost(server, [one])

    def writes() -> bool:
        return apply(store, web=5).version > 0

    until(writes)


def test_a_sidecar_without_anything_is_not_ahead(store: ConfigStore, direct: AtOnce) -> None:
    assert Sidecar(direct, "a").take(EMPTY)[:4] == ("", 0, False, 0)
    assert result(store.status()).sidecars[0].step == "in step"


def test_without_memory_reports_come_in_and_a_canary_ends(store: ConfigStore, direct: AtOnce, server: Server) -> None:
    """What makes things worse must be undone just then."""
    sidecars = fleet(direct)
    found = begin(store, sidecars)
    server("CONFIG", "SET", "maxmemory", "1")
    try:
        assert sidecars[1].report().ended == 0
        assert sidecars[0].take(found, Nack("clusters/web", 2, "no")).ended == 3
        assert len(result(store.status()).sidecars) == 10
        result(sidecars[0].reporter.leave())
    finally:
        server("CONFIG", "SET", "maxmemory", "0")
    assert result(store.read()).canary is None


def test_two_sidecars_of_one_name_are_told(store: ConfigStore, direct: AtOnce) -> None:
    """And one that was restarted is not taken for two."""
    one, two = Sidecar(direct, "a"), Sidecar(direct, "a")
    assert [each.report().twins for each in (one, one, two, two)] == [False] * 4
    assert not result(store.status()).sidecars[0].twins
    assert one.report().twins
    assert two.report().twins
    assert result(store.status()).sidecars[0].twins
