"""Whole commands that look alike are found as any others are, and what is spoilt in them is seen all the same."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.codec.cuts import PLACES, same_in_any_cut
from tests.codec.test_resp_request import Heard, read
from twisted_mesh.codec import resp_request_scan
from twisted_mesh.codec.resp import pack

KINDS = [[b"GET", b"k1"], [b"GET", b"\r\n"], [b"SET", b"k1", b"v"], [b"SET", b"k2", b"$"], [b"SET", b"k2", b""]]
ALIKE = st.lists(
    st.tuples(st.sampled_from([*KINDS, [b"MSET", b"a", b"b", b"c", b"d"]]), st.integers(1, 6)), min_size=1, max_size=5
).map(lambda several: [each for each, times in several for _ in range(times)])


@given(ALIKE, st.integers(0, 200), st.sampled_from([b"", b"1", b"\r", b"\n", b"$9", b"*"]), PLACES)
def test_commands_that_look_alike(commands: list[list[bytes]], place: int, other: bytes, places: list[int]) -> None:
    """What is the same as in the command before is not parsed again, and what is spoilt there is seen all the same."""
    data = b"".join(map(pack, commands))
    assert same_in_any_cut(data, places, read) == Heard(commands, None)
    spoilt = data[:place] + other + data[place + 1 :]
    same_in_any_cut(spoilt, places, read)


def test_heads_that_were_seen_before_are_bounded_and_are_only_taken_for_themselves() -> None:
    kinds = [[b"N%d" % number, b"k" * (number % 130), b"v"] for number in range(3000)]
    for _ in range(2):
        for each in kinds:
            assert read([pack(each)]) == Heard([each], None)
    assert 0 < len(resp_request_scan._heads) <= resp_request_scan._HEADS_KEPT
    assert read([b"*3\r\n$2\r\nN1\r\n$1\r\nkk\r\n$1\r\nv\r\n"]).error is not None


@pytest.mark.parametrize("command", [[b"GET", b"key"], [b"SET", b"key", b"value"], [b"SET", b"key", b"v" * 1100]])
def test_a_command_whose_head_is_known_is_read_as_any_other(command: list[bytes]) -> None:
    whole = pack(command)
    assert read([whole]) == read([whole]) == Heard([command], None)
    assert read([whole + whole[:9], whole[9:]]) == Heard([command, command], None)
    for at in range(len(whole)):
        for other in (b"", b"\r", b"\n", b"$", b"0", b"9"):
            spoilt = whole[:at] + other + whole[at + 1 :]
            resp_request_scan._heads.clear()
            unknown = read([spoilt])
            assert read([whole]).error is None
            assert read([spoilt]) == unknown
