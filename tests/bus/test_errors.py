"""What goes wrong, in one line."""

from __future__ import annotations

import pytest

from twisted_mesh.bus.errors import BusError, refusal


@pytest.mark.parametrize(
    ("text", "code", "wrong_server"),
    [
        ("READONLY You can't write against a read only replica.", "READONLY", True),
        ("LOADING Valkey is loading the dataset in memory", "LOADING", True),
        ("MOVED 1 a:1", "MOVED", True),
        ("OOM command not allowed", "OOM", False),
        ("ERR unknown command", "ERR", False),
        (
            "ERR Error running script (call to f_0a): @user_script:1: @user_script: 1: -OOM command not allowed when",
            "OOM",
            False,
        ),
        ("ERR Error running script (call to f_0a): @user_script:1: -READONLY You can't write", "READONLY", True),
        ("ERR Error running script (call to f_0a): @user_script:1: attempt to index a nil value", "ERR", False),
        ("something else", "ERR", False),
        ("", "ERR", False),
    ],
)
def test_refusals_are_told_apart_by_their_first_word(text: str, code: str, wrong_server: bool) -> None:
    made = refusal("a:1", text)
    assert (made.kind, made.code, made.wrong_server, made.sent) == ("refused", code, wrong_server, True)
    assert str(made) == f"redis a:1: {text}"


def test_without_a_server_none_is_named() -> None:
    assert str(BusError("down", "stopped")) == "stopped"
