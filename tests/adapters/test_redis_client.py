"""Who is at the other end."""

from __future__ import annotations

from tests.adapters.redis_listening import Client


def test_a_client_begins_as_nobody_and_is_that_again_after_a_reset() -> None:
    client = Client()
    one = client.connection
    before = (one.db, one.resp, one.name, one.user)
    assert before == (0, 2, b"", "default")
    client.send(("HELLO", "3", "SETNAME", "me"), ("SELECT", "3"))
    assert (one.db, one.resp, one.name) == (3, 3, b"me")
    client.send(("RESET",))
    assert (one.db, one.resp, one.name, one.user) == before


def test_ids_are_those_of_the_listener_and_the_connection() -> None:
    client = Client()
    other, _ = client.connect()
    assert other.id == client.connection.id + 1
    assert client.connection.call_id == f"{client.adapter.ids}1"
    assert client.connection.here
    assert client.connection.descriptor == -1
