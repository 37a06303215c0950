"""Asking a sidecar's admin: what it answers, and what is said where it does not."""

from __future__ import annotations

import argparse

import pytest

from tests.support import HttpUpstream, free_port
from twisted_mesh.cli import admin_address
from twisted_mesh.cli.failure import BUS, USAGE, Failure


def asked(admin: str) -> argparse.Namespace:
    return argparse.Namespace(admin=admin)


def test_an_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    upstream = HttpUpstream("admin")
    try:
        assert admin_address.ask(asked(upstream.address), "/x").startswith(b"admin /x")
        monkeypatch.setenv(admin_address.VARIABLE, upstream.address)
        assert admin_address.ask(asked(""), "/y").startswith(b"admin /y")
    finally:
        upstream.stop()


@pytest.mark.parametrize(
    ("address", "status", "said"),
    [
        ("nowhere", USAGE, "--admin: "),
        ("unix:/nowhere/at/all", BUS, "the sidecar's admin at unix:/nowhere/at/all cannot be asked: No such file"),
    ],
)
def test_one_line_where_there_is_none(address: str, status: int, said: str) -> None:
    with pytest.raises(Failure) as caught:
        admin_address.ask(asked(address), "/x")
    assert caught.value.status == status
    assert str(caught.value).startswith(said)


def test_nobody_listens() -> None:
    address = f"127.0.0.1:{free_port()}"
    with pytest.raises(Failure, match=f"{address} cannot be asked: Connection refused"):
        admin_address.ask(asked(address), "/x")
