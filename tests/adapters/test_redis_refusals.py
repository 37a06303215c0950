"""What clients are told; a test with real processes holds these words against a server's."""

from __future__ import annotations

from twisted_mesh.adapters.redis_refusals import (
    refused,
    too_large,
    unknown_command,
    unknown_subcommand,
    wrong_arity,
)


def test_errors_are_one_line_whatever_was_sent() -> None:
    assert unknown_command([b"A\r\nB", b"x\ny"]) == (
        b"-ERR unknown command 'A  B', with args beginning with: 'x y' \r\n"
    )
    assert unknown_subcommand("CONFIG", b"a\r\n") == b"-ERR unknown subcommand 'a  '. Try CONFIG HELP.\r\n"


def test_what_is_repeated_is_bounded() -> None:
    assert len(unknown_command([b"x" * 10_000, *[b"y" * 10_000] * 100])) < 400
    assert len(unknown_subcommand("CONFIG", b"x" * 10_000)) < 200
    assert len(too_large(b"x" * 10_000, 1000)) < 250


def test_names_are_as_a_server_has_them() -> None:
    assert wrong_arity("CLIENT|SETINFO") == b"-ERR wrong number of arguments for 'client|setinfo' command\r\n"
    assert refused("ACL|LIST", "is not here") == b"-ERR ACL LIST is not here\r\n"
