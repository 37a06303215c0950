"""Request lines and targets: what is refused, what paths become, and that nothing climbs out of them."""

from __future__ import annotations

import re

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from twisted_mesh.codec.grammar import HttpError
from twisted_mesh.codec.target import (
    Normalise,
    RequestLine,
    check_host,
    host_name,
    normalise_path,
    parse_request_line,
)

PLAIN = Normalise()


def parse(target: bytes, method: bytes = b"GET", how: Normalise = PLAIN) -> RequestLine:
    return parse_request_line(b"%b %b HTTP/1.1" % (method, target), how)


# --- request lines


def test_a_request_line() -> None:
    line = parse_request_line(b"POST /a/b?c=d&e HTTP/1.0", PLAIN)
    assert (line.operation, line.path, line.query, line.target) == ("POST", "/a/b", "c=d&e", b"/a/b?c=d&e")
    assert (line.minor, line.authority) == (0, b"")
    assert line.start == b"POST /a/b?c=d&e HTTP/1.1"


@pytest.mark.parametrize(
    ("target", "sent", "path", "query"),
    [
        (b"/", b"/", "/", ""),
        (b"/?", b"/?", "/", ""),
        (b"/??", b"/??", "/", "?"),
        (b"/a?b?c", b"/a?b?c", "/a", "b?c"),
        (b"/a?../b", b"/a?../b", "/a", "../b"),
        (b"/a?%2e%zz", b"/a?%2e%zz", "/a", "%2e%zz"),
        (b"/caf\xc3\xa9?\xe9", b"/caf%C3%A9?%E9", "/caf%C3%A9", "%E9"),
        (b'/a"<b>?"<c>', b"/a%22%3Cb%3E?%22%3Cc%3E", "/a%22%3Cb%3E", "%22%3Cc%3E"),
        (b"http://a", b"/", "/", ""),
        (b"http://a?b", b"/?b", "/", "b"),
        (b"HTTPS://A:8/b/../c?d", b"/c?d", "/c", "d"),
    ],
)
def test_targets(target: bytes, sent: bytes, path: str, query: str) -> None:
    """What is matched is what is sent on."""
    line = parse(target)
    assert (line.target, line.path, line.query) == (sent, path, query)


def test_the_absolute_form_names_its_authority() -> None:
    assert parse(b"http://shop.example:80/a").authority == b"shop.example:80"
    assert parse(b"http://[::1]").authority == b"[::1]"
    assert parse(b"/a").authority == b""


def test_the_asterisk_is_for_options() -> None:
    line = parse(b"*", b"OPTIONS")
    assert (line.path, line.target, line.start) == ("*", b"*", b"OPTIONS * HTTP/1.1")


@pytest.mark.parametrize(
    ("line", "status"),
    [
        (b"GET * HTTP/1.1", 400), (b"GET a HTTP/1.1", 400), (b"GET ?a HTTP/1.1", 400), (b"GET /a#b HTTP/1.1", 400),
        (b"GET ftp://a/ HTTP/1.1", 400), (b"GET http:///a HTTP/1.1", 400), (b"GET http://u@a/ HTTP/1.1", 400),
        (b"GET http://a:b/ HTTP/1.1", 400), (b"GET http://a:99999/ HTTP/1.1", 400), (b"GET http:/a HTTP/1.1", 400),
        (b"GET //a#b HTTP/1.1", 400), (b"GET /% HTTP/1.1", 400), (b"GET /%0 HTTP/1.1", 400), (b"GET /%00 HTTP/1.1", 400),
        (b"GET /a HTTP/1.1 ", 400), (b"GET  /a HTTP/1.1", 400), (b" GET /a HTTP/1.1", 400), (b"GET\t/a HTTP/1.1", 400),
        (b"GET /a", 400), (b"GET /a\x00 HTTP/1.1", 400), (b"GET /a\x7f HTTP/1.1", 400), (b"", 400), (b"G@T /a HTTP/1.1", 400),
        (b"GET /a HTTP/1.1\n", 400), (b"GET /a FTP/1.1", 400), (b"GET /a HTTP/x.y", 400),
        (b"GET /a HTTP/2.0", 505), (b"GET /a HTTP/0.9", 505), (b"GET /a HTTP/1.2", 505), (b"GET /a HTTP/11.1", 505),
        (b"GET /a HTTP/1", 505), (b"GET /a HTTP/", 400), (b"PRI * HTTP/2.0", 505),
        (b"CONNECT a:443 HTTP/1.1", 405), (b"CONNECT / HTTP/1.1", 405),
    ],
)  # fmt: skip
def test_what_is_refused(line: bytes, status: int) -> None:
    with pytest.raises(HttpError) as caught:
        parse_request_line(line, PLAIN)
    assert caught.value.status == status
    assert caught.value.text


@given(st.text("/.%2eEfFcC5aA?b;\\", max_size=24))
def test_what_is_sent_on_is_read_in_the_same_way(text: str) -> None:
    """The next hop, by the same rules, sees the same path and query and changes nothing."""
    try:
        line = parse(b"/" + text.encode())
    except HttpError:
        return
    again = parse_request_line(line.start, PLAIN)
    assert again[1:] == line[1:]
    assert re.fullmatch(rb"[\x21-\x7e]+", line.target)


# --- hosts


@pytest.mark.parametrize(
    ("authority", "name"),
    [
        (b"Shop.Example", "shop.example"), (b"a:8080", "a"), (b"a.", "a"), (b"[::1]", "[::1]"), (b"[::AB]:80", "[::ab]"),
        (b"127.0.0.1:1", "127.0.0.1"), (b"", ""),
    ],
)  # fmt: skip
def test_a_host_is_matched_without_case_port_and_last_dot(authority: bytes, name: str) -> None:
    assert host_name(authority) == name


def test_ports_end_at_65535() -> None:
    assert check_host(b"a:65535") == b"a:65535"
    with pytest.raises(HttpError):
        check_host(b"a:65536")


# --- paths

# RFC 3986 section 5.4, as paths under the base /b/c/d;p: the reference, and the path that it resolves to.
NORMAL = [
    ("g", "/b/c/g"), ("./g", "/b/c/g"), ("g/", "/b/c/g/"), (";x", "/b/c/;x"), ("g;x", "/b/c/g;x"), (".", "/b/c/"),
    ("./", "/b/c/"), ("..", "/b/"), ("../", "/b/"), ("../g", "/b/g"), ("../..", "/"), ("../../", "/"), ("../../g", "/g"),
]  # fmt: skip
ABNORMAL = [
    ("../../../g", "/g"), ("../../../../g", "/g"), ("/./g", "/g"), ("/../g", "/g"), ("g.", "/b/c/g."), (".g", "/b/c/.g"),
    ("g..", "/b/c/g.."), ("..g", "/b/c/..g"), ("./../g", "/b/g"), ("./g/.", "/b/c/g/"), ("g/./h", "/b/c/g/h"),
    ("g/../h", "/b/c/h"), ("g;x=1/./y", "/b/c/g;x=1/y"), ("g;x=1/../y", "/b/c/y"),
]  # fmt: skip


@pytest.mark.parametrize(("reference", "resolved"), NORMAL + ABNORMAL)
def test_dot_segments_of_rfc_3986(reference: str, resolved: str) -> None:
    path = reference if reference.startswith("/") else "/b/c/" + reference
    assert normalise_path(path.encode(), PLAIN) == resolved.encode()


# Ways of writing "up" that servers have fallen for, and what becomes of them by each policy for escaped slashes; None: it
# is refused.
TRICKS: list[tuple[bytes, bytes | None, bytes | None, bytes | None]] = [
    # path, kept, decoded, rejected
    (b"/a/%2e%2e/b", b"/b", b"/b", b"/b"),
    (b"/a/%2E./b", b"/b", b"/b", b"/b"),
    (b"/a/.%2e", b"/", b"/", b"/"),
    (b"/a/%2e", b"/a/", b"/a/", b"/a/"),
    (b"/%2e%2e/%2e%2e/etc/passwd", b"/etc/passwd", b"/etc/passwd", b"/etc/passwd"),
    (b"/a/..%2f..%2fb", None, b"/b", None),
    (b"/a/..%2Fb", None, b"/b", None),
    (b"/a/%2e%2e%2fb", None, b"/b", None),
    (b"/%61dmin", b"/admin", b"/admin", b"/admin"),
    (b"/%2561dmin", b"/%2561dmin", b"/%2561dmin", b"/%2561dmin"),
    (b"/%25%36%31dmin", b"/%2561dmin", b"/%2561dmin", b"/%2561dmin"),
    (b"/a%2Ephp%3F%20", b"/a.php%3F%20", b"/a.php%3F%20", b"/a.php%3F%20"),
    (b"/a%2f..%2fb", None, b"/b", None),
    (b"/a/..%5cb", None, b"/b", None),
    (b"/a/..\\b", None, b"/b", None),
    (b"/a\\..\\b", None, b"/b", None),
    (b"/a/%252e%252e/b", b"/a/%252e%252e/b", b"/a/%252e%252e/b", b"/a/%252e%252e/b"),
    (b"/a/..%252fb", b"/a/..%252fb", b"/a/..%252fb", b"/a/..%252fb"),
    (b"/a/%c0%ae%c0%ae/b", b"/a/%c0%ae%c0%ae/b", b"/a/%c0%ae%c0%ae/b", b"/a/%c0%ae%c0%ae/b"),
    (b"/a/..;/b", None, None, None),
    (b"/a/...;/b", b"/a/...;/b", b"/a/...;/b", b"/a/...;/b"),
    (b"/a/x..;/b", b"/a/x..;/b", b"/a/x..;/b", b"/a/x..;/b"),
    (b"/a//../b", b"/b", b"/b", b"/b"),
    (b"//a//b//", b"/a/b/", b"/a/b/", b"/a/b/"),
    (b"/a/%2f/b", b"/a/%2f/b", b"/a/b", None),
    (b"/.../b", b"/.../b", b"/.../b", b"/.../b"),
    (b"/..", b"/", b"/", b"/"),
    (b"/.", b"/", b"/", b"/"),
    (b"/.//..//a", b"/a", b"/a", b"/a"),
]


@pytest.mark.parametrize(("path", "kept", "decoded", "rejected"), TRICKS)
def test_tricks(path: bytes, kept: bytes, decoded: bytes | None, rejected: bytes | None) -> None:
    for policy, expected in (("keep", kept), ("decode", decoded), ("reject", rejected)):
        how = Normalise(escaped_slashes=policy)
        if expected is None:
            with pytest.raises(HttpError):
                normalise_path(path, how)
        else:
            assert normalise_path(path, how) == expected, policy


@pytest.mark.parametrize("path", [b"/a%00", b"/%00/..", b"/a%", b"/a%4", b"/%zz", b"/%%41"])
def test_escapes_that_are_none_are_refused(path: bytes) -> None:
    with pytest.raises(HttpError):
        normalise_path(path, PLAIN)


@pytest.mark.parametrize(
    "path",
    [
        b"/..;/admin", b"/x/..;/admin", b"/x/..;a=b/admin", b"/x/%2e%2E;/admin", b"/x/.%2e;", b"/x/.;/admin", b"/%2e;",
        b"/x/..%3b/admin", b"/x/%2e%2e%3Ba/admin", b"/x%2f..;%2fadmin", b"/x%5C..;/admin", b"/x\\..;\\admin",
        b"//..;//admin", b"/x/..;/../admin", b"/x/../..;/admin",
    ],
)  # fmt: skip
def test_dot_segments_with_parameters_are_refused_unless_they_are_to_be_kept(path: bytes) -> None:
    """Tomcat and Jetty cut ``;x`` off before they resolve dots: a rule for /admin would be passed by on that way."""
    for how in (PLAIN, Normalise(escaped_slashes="decode"), Normalise(False, False)):
        with pytest.raises(HttpError, match="parameters behind a dot segment"):
            normalise_path(path, how)
    assert normalise_path(path, Normalise(dot_parameters="keep")).endswith((b"admin", b".;", b"..;"))


@pytest.mark.parametrize(
    "path",
    [
        b"/x/..%2fadmin", b"/x%2f..%2Fadmin", b"/x%2F../admin", b"/x%2f..", b"/x%5c.", b"/x/.%5Cadmin", b"/%2e%2e%2fadmin",
        b"/x\\..\\admin", b"/x/%2E%2fadmin", b"//..%2f", b"/a/../..%2fb",
    ],
)  # fmt: skip
def test_dot_segments_beside_a_kept_escaped_slash_are_refused(path: bytes) -> None:
    """Many servers decode first and resolve afterwards; where dots are not resolved the path is left as it came."""
    with pytest.raises(HttpError, match="dot segment beside an escaped slash"):
        normalise_path(path, PLAIN)
    assert normalise_path(path, Normalise(dot_segments=False))


@pytest.mark.parametrize(
    "path", [b"/a%2Fb", b"/a%2f.b/c", b"/a%2F...%2Fb", b"/a..%2Fb", b"/.a%5cb", b"/a%2Fb..", b"/%2F"]
)
def test_escaped_slashes_without_dot_segments_are_kept(path: bytes) -> None:
    assert normalise_path(path, PLAIN) == path


def test_exactly_what_needs_no_escape_loses_it() -> None:
    unreserved = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~"
    for each in range(1, 256):
        escaped = b"/x%%%02x" % each
        assert normalise_path(escaped, PLAIN) == (b"/x%c" % each if each in unreserved else escaped)


def test_what_is_switched_off_is_left_alone() -> None:
    assert normalise_path(b"/a/../b//c", Normalise(dot_segments=False)) == b"/a/../b/c"
    assert normalise_path(b"/a/../b//c", Normalise(merge_slashes=False)) == b"/b//c"
    assert normalise_path(b"/a/%2e/b//c", Normalise(False, False)) == b"/a/%2e/b//c"
    assert normalise_path(b"//a/..", Normalise(merge_slashes=False)) == b"//"


PATHS = st.lists(
    st.sampled_from(
        [
            b"/",
            b"//",
            b".",
            b"..",
            b"%2e",
            b"%2E",
            b"%2f",
            b"%5C",
            b"\\",
            b"a",
            b"b",
            b"%25",
            b"%41",
            b";",
            b"\xe9",
            b"~",
            b"{",
        ]
    ),
    max_size=10,
).map(lambda parts: b"/" + b"".join(parts))
POLICIES = st.builds(
    Normalise,
    st.booleans(),
    st.booleans(),
    st.sampled_from(["keep", "decode", "reject"]),
    st.sampled_from(["keep", "reject"]),
)


@given(PATHS, POLICIES)
@example(b"/a//../..//b", Normalise())
@example(b"/..//..", Normalise(merge_slashes=False))
def test_normalising_twice_is_normalising_once(path: bytes, how: Normalise) -> None:
    try:
        once = normalise_path(path, how)
    except HttpError:
        return
    assert normalise_path(once, how) == once
    assert once.startswith(b"/")
    assert re.fullmatch(rb"[\x21-\x7e]+", once)


@given(PATHS, st.booleans(), st.sampled_from(["keep", "decode", "reject"]))
def test_no_dot_segment_is_left(path: bytes, merge: bool, escaped: str) -> None:
    """However the dots were written; and where slashes are merged none is empty, where they are decoded none escaped."""
    try:
        done = normalise_path(path, Normalise(True, merge, escaped))
    except HttpError:
        return
    segments = [re.sub(b"(?i)%2e", b".", each) for each in done.split(b"/")]
    assert not {b".", b".."} & set(segments)
    if merge:
        assert b"//" not in done
    if escaped != "keep":
        assert not re.search(rb"(?i)%2f|%5c|\\", done)


@given(st.lists(st.sampled_from(["a", "b", "..", ".", "%2e%2E"]), max_size=8))
def test_paths_resolve_as_the_standard_library_has_it(segments: list[str]) -> None:
    from urllib.parse import urljoin

    path = "/" + "/".join(segments)
    expected = urljoin("http://host/", re.sub("(?i)%2e", ".", path)).removeprefix("http://host") or "/"
    assert normalise_path(path.encode(), PLAIN).decode() == expected
