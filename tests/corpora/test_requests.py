"""Every hostile request we know, through the real adapter in memory: refused, and none reaches an upstream."""

from __future__ import annotations

import pytest

from tests.corpora import malformed
from tests.corpora.cases import Case, desync, llhttp
from tests.corpora.memory import Wire
from twisted_mesh.model import HttpOptions


def one_by_one(data: bytes) -> list[bytes]:
    """The same in pieces of one byte; the middle of something very long goes in one piece."""
    if len(data) <= 2000:
        return [data[at : at + 1] for at in range(len(data))]
    return [*one_by_one(data[:500]), data[500:-500], *one_by_one(data[-500:])]


CUTS = {"whole": lambda data: [data], "bytes": one_by_one}


def refused(wire: Wire, statuses: tuple[int, ...]) -> None:
    """The client got exactly one of these statuses, its connection is closed, and no upstream saw a request."""
    assert wire.statuses and wire.statuses[-1] in statuses, wire.answers[:300]
    assert len(wire.statuses) == 1
    assert wire.pipe.closed
    assert b"connection: close" in wire.answers.lower()
    assert wire.endpoint.links == []


@pytest.mark.parametrize("cut", CUTS)
@pytest.mark.parametrize("bad", malformed.REFUSED, ids=lambda bad: bad.name)
def test_refused(bad: malformed.Bad, cut: str) -> None:
    """A malformed head is answered with its status and a close, and goes nowhere."""
    refused(Wire().send(*CUTS[cut](bad.data)), bad.statuses)


@pytest.mark.parametrize("cut", CUTS)
@pytest.mark.parametrize("bad", malformed.CUT, ids=lambda bad: bad.name)
def test_cut(bad: malformed.Bad, cut: str) -> None:
    """A malformed body is answered with a 400, and no upstream sees a complete request."""
    wire = Wire().send(*CUTS[cut](bad.data))
    assert wire.statuses and wire.statuses[-1] in bad.statuses, wire.answers[:300]
    assert wire.pipe.closed
    assert wire.endpoint.complete == 0
    wire.endpoint.check()
    assert all(link.pipe.aborted for link in wire.endpoint.links)


@pytest.mark.parametrize("cut", CUTS)
@pytest.mark.parametrize(("name", "data"), malformed.SERVED, ids=[name for name, _ in malformed.SERVED])
def test_served(name: str, data: bytes, cut: str) -> None:
    """What only looks odd is forwarded, in a form that nobody can read in two ways."""
    wire = Wire().send(*CUTS[cut](data))
    assert wire.statuses == [200], wire.answers[:300]
    wire.endpoint.check()
    assert wire.endpoint.complete == 1


def test_body_limit() -> None:
    """A body over the listener's limit is a 413, whether its length is told or found out."""
    options = HttpOptions.model_validate({"limits": {"body": 10}})
    told = Wire(options).send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 11\r\n\r\n")
    assert told.statuses == [413] and told.pipe.closed and told.endpoint.complete == 0
    found = Wire(options).send(
        b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n", b"b\r\nhello world\r\n"
    )
    assert found.statuses == [413] and found.pipe.closed and found.endpoint.complete == 0
    fits = Wire(options).send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nhelloworld")
    assert fits.statuses == [200]


# --- http-desync-guardian

# Compliant by that corpus and refused by us, and why.
REFUSED_ALTHOUGH_COMPLIANT = {
    "more-compliant-tests-5": "a transfer coding besides chunked",
    "more-compliant-tests-7": "a transfer coding besides chunked",
    "more-compliant-tests-8": "Transfer-Encoding twice",
    "more-compliant-tests-9": "chunked with a parameter",
    "rfc-compliant-8": "Transfer-Encoding five times",
    "rfc-compliant-9": "transfer codings besides chunked",
    "rfc-compliant-10": "chunked with a parameter",
    "rfc-compliant-11": "a fragment in the request target, which RFC 9112 section 3.2 has no place for",
    "rfc-compliant-13": "no request target",
}


def desync_cases(*tiers: str) -> list[Case]:
    """The cases of these tiers, each with a Host field so that only what it is about is wrong."""
    return [case.with_host() for case in desync() if case.severity in tiers]


def name_of(case: Case) -> str:
    return case.name


@pytest.mark.parametrize("cut", CUTS)
@pytest.mark.parametrize(
    "case", desync_cases("severe") + [each for each in desync() if each.severity == "severe"], ids=name_of
)
def test_desync_severe(case: Case, cut: str) -> None:
    """The 58 Severe are answered with 400 and a close, with a Host field and as they stand."""
    refused(Wire().send(*CUTS[cut](case.data)), (400,))


@pytest.mark.parametrize("cut", CUTS)
@pytest.mark.parametrize("case", desync_cases("ambiguous", "acceptable"), ids=name_of)
def test_desync_ambiguous(case: Case, cut: str) -> None:
    """What is not severe is refused, or forwarded so that it can only be read in one way."""
    wire = Wire().send(*CUTS[cut](case.data))
    if wire.endpoint.links:
        wire.endpoint.check()
        assert wire.statuses in ([], [200])
    else:
        assert wire.statuses and wire.statuses[0] in (400, 505), wire.answers[:300]
        assert wire.pipe.closed


@pytest.mark.parametrize("case", desync_cases("compliant"), ids=name_of)
def test_desync_compliant(case: Case) -> None:
    """What is compliant is forwarded, but for what we have a reason to refuse."""
    wire = Wire().send(case.data)
    wire.endpoint.check()
    if case.name.split(":")[0] in REFUSED_ALTHOUGH_COMPLIANT:
        refused(wire, (400,))
    else:
        assert wire.endpoint.links, wire.answers[:300]
        assert wire.statuses in ([], [200])


# --- llhttp

# Rejected by llhttp, and forwarded by us.
FORWARDED_ALTHOUGH_REJECTED = {
    "34": "ANNOUNCE is a method like any other: RFC 9110 section 9.1 lets anyone add some",
    "43": "the same for MKCOLA",
}
# Accepted by llhttp, and refused by us.
REFUSED_ALTHOUGH_ACCEPTED = {
    **dict.fromkeys(("55", "56", "57", "131"), "CONNECT"),
    "58": "* is for OPTIONS only",
    **dict.fromkeys(("65", "66", "67"), "ICE and RTSP are not HTTP"),
    "93": "HTTP/0.9",
    **dict.fromkeys(("115", "116", "130"), "a fragment in the request target"),
    "132": "userinfo in the request target",
}


@pytest.mark.parametrize("cut", CUTS)
@pytest.mark.parametrize("case", [each.with_host() for each in llhttp() if each.severity == "rejected"], ids=name_of)
def test_llhttp_rejected(case: Case, cut: str) -> None:
    """Of the 56 that llhttp rejects no more is forwarded than what stands whole before the error."""
    wire = Wire().send(*CUTS[cut](case.data), b"\r\n\r\n").end()
    wire.endpoint.check()
    if case.name.split(":")[0] in FORWARDED_ALTHOUGH_REJECTED:
        assert wire.endpoint.complete == 1
        return
    assert wire.endpoint.complete <= case.whole
    assert wire.pipe.closed
    assert len(wire.statuses) <= case.whole + 1


@pytest.mark.parametrize("cut", CUTS)
@pytest.mark.parametrize("case", [each.with_host() for each in llhttp() if each.severity == "accepted"], ids=name_of)
def test_llhttp_accepted(case: Case, cut: str) -> None:
    """What llhttp accepts is forwarded cleanly, but for what we have a reason to refuse."""
    wire = Wire().send(*CUTS[cut](case.data))
    wire.endpoint.check()
    if case.name.split(":")[0] in REFUSED_ALTHOUGH_ACCEPTED:
        refused(wire, (400, 405))
    else:
        assert wire.endpoint.links, wire.answers[:300]
