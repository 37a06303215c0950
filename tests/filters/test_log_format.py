"""What a line of the access log says in text, and that nobody can write lines of their own into it."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from twisted_mesh.call import Call
from twisted_mesh.filters.log_format import ARGUMENT_FIELDS, FIELDS, TEXT, Stamps, TextFormat, escape, milliseconds
from twisted_mesh.headers import Headers


def a_call(**fields: Any) -> Call:
    headers = Headers.of([("Host", "shop.example"), ("User-Agent", "curl/8 (x)"), ("X-Team", "blue")])
    call = Call("http", "edge", "GET", headers)
    made: dict[str, Any] = {
        "host": "shop.example",
        "authority": "Shop.example:80",
        "resource": "/api/items",
        "query": "a=1",
        "status": 200,
        "route": SimpleNamespace(name="api"),
        "cluster": SimpleNamespace(name="web"),
        "endpoint": SimpleNamespace(address="127.0.0.1:9001"),
        "tried": (SimpleNamespace(address="127.0.0.1:9002"),),
        "attempts": 2,
        "flags": ("UF", "URX"),
        "bytes_in": 3,
        "bytes_out": 4,
        "started": 100.0,
        "received": 100.001,
        "connected": 100.0025,
        "head_at": 100.01,
        "ended": 100.0205,
        "id": "abc-1",
        "peer": "127.0.0.1:5000",
        "client": "10.0.0.1",
        **fields,
    }
    for name, value in made.items():
        setattr(call, name, value)
    return call


def line(text: str, call: Call, offset: float = 0.0) -> str:
    format = TextFormat(text)
    format.set_offset(offset)
    return format.render([format.capture(call)]).decode()


def test_the_default_line() -> None:
    assert line(TEXT, a_call(), 1700000000.5) == (
        '2023-11-14T22:15:00.500Z http edge "GET /api/items" 200 UF,URX 3 4 20.5 10.0 '
        '10.0.0.1 abc-1 "shop.example" "curl/8 (x)" api web 127.0.0.1:9001 2 "-"\n'
    )


def test_a_call_of_which_nothing_is_known_fills_every_field() -> None:
    call = Call("tcp", "db", "CONNECT", Headers())
    assert line(TEXT, call) == '1970-01-01T00:00:00.000Z tcp db "CONNECT -" 0 - 0 0 - - - - "-" "-" - - - 0 "-"\n'


def test_every_field_of_the_table_can_be_asked_for() -> None:
    call = a_call(details="refused", identity="spiffe://x", version="1.0")
    shown = {name: line(f"%{name}%", call)[:-1] for name in FIELDS}
    assert shown == {
        "TIME": "1970-01-01T00:01:40.000Z",
        "PROTOCOL": "http",
        "LISTENER": "edge",
        "ROUTE": "api",
        "METHOD": "GET",
        "HOST": "shop.example",
        "AUTHORITY": "Shop.example:80",
        "PATH": "/api/items",
        "QUERY": "a=1",
        "VERSION": "1.0",
        "STATUS": "200",
        "FLAGS": "UF,URX",
        "DETAILS": "refused",
        "CLUSTER": "web",
        "ENDPOINT": "127.0.0.1:9001",
        "TRIED": "127.0.0.1:9002",
        "ATTEMPTS": "2",
        "COUNT": "1",
        "BYTES_IN": "3",
        "BYTES_OUT": "4",
        "DURATION_MS": "20.5",
        "RECEIVED_MS": "1.0",
        "CONNECTED_MS": "2.5",
        "HEAD_MS": "10.0",
        "ID": "abc-1",
        "PEER": "127.0.0.1:5000",
        "CLIENT": "10.0.0.1",
        "IDENTITY": "spiffe://x",
        "USER_AGENT": "curl/8\\x20(x)",
    }
    assert all(each.says for each in FIELDS.values())
    assert all(says for _, says in ARGUMENT_FIELDS.values())


def test_headers_and_what_filters_left() -> None:
    call = a_call()
    call.context["log"] = {"bucket": "free tier", "n": 7, "none": None}
    text = '%HEADER(x-team)% %HEADER(x-none)% "%EXTRA(bucket)%" %EXTRA(n)% %EXTRA(none)% %EXTRA(other)%'
    assert line(text, call) == 'blue - "free tier" 7 - -\n'
    assert line("%EXTRA(bucket)%", a_call()) == "-\n"


def test_percent_signs_and_braces_are_themselves_where_doubled() -> None:
    assert line('100%% {%METHOD%} %%s \\ "', a_call()) == '100% {GET} %s \\ "\n'


def test_several_lines_come_out_in_order() -> None:
    format = TextFormat("%ID% %BYTES_OUT%\n")
    calls = [a_call(id=str(number), bytes_out=number) for number in range(3)]
    assert format.render([format.capture(each) for each in calls]) == b"0 0\n1 1\n2 2\n"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("%METOD%", "did you mean %METHOD%?"),
        ("%QQQQQQ%", "there are TIME"),
        ("%METHOD%%", "a % that begins no field"),
        ("50% of %METHOD%", "a % that begins no field"),
        ("%HEADER%", r"%HEADER\(name\)%"),
        ("%METHOD(x)%", "not with an argument"),
        ("%TIME(x)%", "not with an argument"),
        ("%method%", "begins no field"),
    ],
)
def test_formats_that_are_wrong_say_what_would_be_right(text: str, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        TextFormat(text)


HOSTILE = [
    '/a"\n2023-11-14T22:15:00.500Z http edge "GET /forged" 200',
    "/\r\nforged",
    "/\x1b[2J\x9b31m",
    "/\u2028forged\u2029",
    "/\u202egnp.exe",
    "/\udcff\ud800",
    "/a\\",
    '/" 200 - 0 0 "',
    "/\x00\x7f\x85",
]


@pytest.mark.parametrize("hostile", HOSTILE)
def test_hostile_text_stays_in_its_field(hostile: str) -> None:
    call = a_call(resource=hostile, client=hostile, id="a b")
    call.headers.fields[1] = (b"user-agent", hostile.encode("utf-8", "replace"), b"", 0)
    text = line(TEXT, call)
    plain = line(TEXT, a_call())
    assert text.count("\n") == 1 and text.endswith("\n")
    assert text[:-1].isprintable()
    assert text.count('"') == plain.count('"')
    quoted = text.split('"')[1::2]
    assert quoted[0].startswith("GET /")
    # Outside of quotes blanks part the fields.
    assert [len(each.split()) for each in text.split('"')[::2]] == [len(each.split()) for each in plain.split('"')[::2]]


@given(st.text(), st.booleans())
def test_what_is_escaped_is_printable_and_breaks_out_of_nothing(text: str, blanks: bool) -> None:
    shown = escape(text, blanks)
    assert shown.isprintable()
    assert '"' not in shown
    assert not (blanks and " " in shown)
    assert escape(text, blanks) == text or text != shown


def test_every_byte_can_be_told_from_its_escape() -> None:
    every = "".join(map(chr, range(256)))
    assert len({escape(each) for each in every}) == 256
    assert escape("a\\x0a") == "a\\x5cx0a"
    assert escape("\u2028\U000e0001") == "\\u2028\\U000e0001"
    assert escape("grün é") == "grün é"


def test_odd_values_that_a_filter_left_spoil_no_other_line() -> None:
    class Unspeakable:
        def __str__(self) -> str:
            raise RuntimeError("no")

    odd = a_call(details=None, id=Unspeakable(), host=7)
    odd.context["log"] = {"x": Unspeakable()}
    format = TextFormat("%ID% %HOST% %DETAILS% %EXTRA(x)%")
    lines = format.render([format.capture(a_call()), format.capture(odd)])
    assert lines == b"abc-1 shop.example - -\n? 7 - ?\n"


def test_spans_are_exact_to_the_microsecond() -> None:
    assert milliseconds(1.0, 1.004) == 4.0
    assert milliseconds(1000.0, 1000.000001) == 0.001
    assert milliseconds(5.0, 5.0) == 0.0


def test_times_follow_the_offset_and_carry_milliseconds() -> None:
    stamps = Stamps()
    stamps.offset = 1e9
    assert stamps.text(0.25) == stamps.text(0.2504) == "2001-09-09T01:46:40.250Z"
    assert stamps.text(0.251) == "2001-09-09T01:46:40.251Z"
    stamps.offset = 0.0
    assert stamps.text(0.251) == "1970-01-01T00:00:00.251Z"
