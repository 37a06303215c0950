"""Which name was probably meant."""

from __future__ import annotations

from twisted_mesh.control.nearest import did_you_mean, did_you_mean_or_list


def test_the_nearest_name_is_offered() -> None:
    assert did_you_mean("timout", ["time", "timeout", "limit"]) == '; did you mean "timeout"?'


def test_names_that_begin_alike_are_nearer() -> None:
    """People get the beginning of a word right more often than its end."""
    assert did_you_mean("retries", ["rewrite", "retry", "redirect"]) == '; did you mean "retry"?'
    assert did_you_mean("healthcheck", ["check", "health_check"]) == '; did you mean "health_check"?'
    assert did_you_mean("imeout", ["timeout", "time"]) == '; did you mean "timeout"?'


def test_the_last_word_of_a_longer_name_says_what_it_is() -> None:
    assert did_you_mean("hash_tag", ["distribution", "hash", "tag", "eject"]) == '; did you mean "tag"?'
    assert did_you_mean("conect_timeout", ["connect_timeout", "timeout"]) == '; did you mean "connect_timeout"?'


def test_nothing_is_offered_where_nothing_is_near() -> None:
    assert did_you_mean("zzz", ["timeout"]) == ""
    assert did_you_mean("timeout", ["timeout"]) == ""
    assert did_you_mean("x" * 1000, ["x" * 999]) == ""


def test_known_names_are_listed_up_to_a_limit() -> None:
    assert did_you_mean_or_list("zzz", ["b", "a"]) == "; known are a, b"
    assert did_you_mean_or_list("zzz", []) == "; there are none"
    many = [f"name{index:03}" for index in range(50)]
    assert did_you_mean_or_list("zzz", many).endswith("name019 and 30 more")
