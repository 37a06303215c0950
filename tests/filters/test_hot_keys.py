"""Hot and big keys: what the metrics say of them."""

from __future__ import annotations

import gc
from typing import Any

import pytest

from tests.filters.redis_calls import several
from twisted_mesh.filters.hot_keys import BYTES, SHARE, HotKeys
from twisted_mesh.testing import Env


def seen(env: Env, family: str) -> list[tuple[str, str, float]]:
    """(rank, key, value) of what is shown."""
    env.metrics.refresh()
    found: Any = env.metrics.family(family)
    return [(rank, key, cell.value) for (_, rank, key), cell in found.series()]


def built(env: Env, **settings: Any) -> HotKeys:
    made = env.build("hot_keys", **settings)
    assert isinstance(made, HotKeys)
    return made


def end(watch: HotKeys, *commands: str, out: int = 10) -> None:
    call = several(*commands)
    call.bytes_in, call.bytes_out = len(call.data), out
    watch.observe(call)


def test_the_most_frequent_keys() -> None:
    env = Env()
    watch = built(env, sample=1, show=2)
    for number in range(60):
        end(watch, "GET hot")
        end(watch, f"SET other:{number % 20} 1", f"SET warm {number}")
    assert seen(env, SHARE) == [("1", "hot", 0.3333), ("2", "warm", 0.3333)]
    assert seen(env, BYTES) == []


def test_samples_stand_for_all() -> None:
    env = Env()
    watch = built(env, sample=16)
    for number in range(2000):
        end(watch, "GET hot" if number % 2 else f"GET {number}")
        end(watch, *[f"GET k{each}" for each in range(7)])
    shares = {key: value for _, key, value in seen(env, SHARE)}
    assert shares["hot"] == pytest.approx(1 / 16, abs=0.03)


def test_what_is_hot_no_more_fades() -> None:
    env = Env()
    watch = built(env, sample=1, half_life="10s")
    for _ in range(1000):
        end(watch, "GET old")
    env.advance(40.0)
    seen(env, SHARE)
    for _ in range(200):
        end(watch, "GET new")
    assert [key for _, key, _ in seen(env, SHARE)] == ["new", "old"]


def test_big_keys_by_what_is_sent_and_what_comes_back() -> None:
    env = Env()
    watch = built(env, big=100, show=5)
    end(watch, "GET a", out=500)
    end(watch, f"SET b {'x' * 200}")
    end(watch, "SET small 1", f"SET c {'x' * 300}", "SET small 2")
    # Of several that are read together nobody knows which it is.
    end(watch, "GET d", "GET e", out=1000)
    assert [(rank, key) for rank, key, _ in seen(env, BYTES)] == [("1", "a"), ("2", "c"), ("3", "b")]
    end(watch, "GET b", out=5000)
    assert seen(env, BYTES)[0][1] == "b"


def test_names_can_be_hidden_and_are_cut() -> None:
    env = Env()
    watch = built(env, sample=1, names=False)
    end(watch, "GET secret")
    assert "secret" not in str(seen(env, SHARE))
    other = Env()
    watch = built(other, sample=1)
    end(watch, f"GET {'k' * 5000}")
    assert len(seen(other, SHARE)[0][1]) == 103


def test_a_filter_that_is_gone_shows_nothing_and_is_not_kept() -> None:
    env = Env()
    watch = built(env, sample=1)
    end(watch, "GET a")
    assert seen(env, SHARE)
    hooks = len(env.metrics._hooks)
    del watch
    gc.collect()
    env.metrics.refresh()
    assert len(env.metrics._hooks) == hooks - 1


@pytest.mark.parametrize("settings", [{"show": 0}, {"show": 5, "keep": 4}, {"sample": 0}, {"big": 0}])
def test_settings_that_make_no_sense(settings: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="1"):
        built(Env(), **settings)
