"""Which keys of Redis are asked for most, and which hold the most: a few of them, in bounded memory.

What it knows stands in the metrics, the first `show` of each, and `meshctl keys` prints it.  Calls are what they were.
"""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import sha256
from typing import Any
from weakref import ref

from zope.interface import implementer

from twisted_mesh.interfaces import Call, Env, IFilterPlugin, IPlugin, Observer
from twisted_mesh.metrics import Family
from twisted_mesh.model.units import Interval, Size
from twisted_mesh.policy.heavy import Frequent, Largest

SHARE = "twisted_mesh_redis_hot_key_share"
BYTES = "twisted_mesh_redis_big_key_bytes"
# How much of a key is shown.
_SHOWN = 100


@dataclass(frozen=True)
class HotKeysSettings:
    """Every `sample`-th command is counted, `keep` keys are kept and `show` of them shown; counts halve in `half_life`.

    A key is big if a command of it or a reply to it has `big` bytes.  With `names: false` keys are shown by a hash, for
    where they tell what metrics must not.
    """

    sample: int = 16
    keep: int = 200
    show: int = 10
    big: Size = 64 * 1024
    half_life: Interval = 60.0
    names: bool = True

    def __post_init__(self) -> None:
        if not 1 <= self.show <= self.keep <= 100_000:
            raise ValueError("show is from 1 to keep, and keep at most 100000")
        if self.sample < 1 or self.big < 1:
            raise ValueError("sample and big are 1 or more")


class HotKeys(Observer):
    """The filter.  A command that is not sampled costs a subtraction and two comparisons.

    Of commands that travel together what they send is looked at one by one; of what comes back only all of it is known,
    so a large value that is read among others shows when it is read alone.
    """

    __slots__ = (
        "__weakref__",
        "_big",
        "_chain",
        "_env",
        "_faded",
        "_frequent",
        "_gauges",
        "_largest",
        "_left",
        "_settings",
    )

    def __init__(self, settings: HotKeysSettings, env: Env) -> None:
        self._settings = settings
        self._env = env
        self._frequent: Frequent[bytes] = Frequent(settings.keep)
        self._largest: Largest[bytes] = Largest(settings.keep, settings.big)
        self._left = settings.sample
        self._big = settings.big
        self._faded = env.now()
        self._chain = env.name.rpartition("/")[0] or env.name
        labels = ("chain", "rank", "key")
        self._gauges: tuple[Family[Any], Family[Any]] = (
            env.metrics.gauge(SHARE, "The share of commands that have this key, of the most frequent ones.", labels),
            env.metrics.gauge(BYTES, "The size of the largest values that were seen.", labels),
        )
        # A filter that a reload has left behind must not be kept by what asks it.
        filter_of = ref(self)

        def show() -> None:
            live = filter_of()
            if live is None:
                forget()
            else:
                live.show()

        forget = env.metrics.on_collect(show)
        # Stored, as looking up a method makes a new object each time.
        self.observe = self._ended

    def __repr__(self) -> str:
        return f"<HotKeys {self._frequent!r} {self._largest!r}>"

    def _ended(self, call: Call) -> None:
        self._left -= call.count
        if call.bytes_in >= self._big or call.bytes_out >= self._big:
            self._see_sizes(call)
        if self._left <= 0:
            self._count(call)

    def _count(self, call: Any) -> None:
        sample = self._settings.sample
        commands = call.commands
        while self._left <= 0:
            at = (len(commands) - 1 + self._left) % len(commands)
            # By the dice, as clients repeat themselves: the same step each time would see the same commands.
            self._left += self._env.random.randrange(1, 2 * sample)
            key = call.key if len(commands) == 1 else commands[at][1]
            if key:
                self._frequent.add(key, sample)

    def _see_sizes(self, call: Any) -> None:
        commands = call.commands
        if len(commands) == 1:
            if call.key:
                self._largest.add(call.key, max(call.bytes_in, call.bytes_out))
            return
        for _, key, _, start, end in commands:
            if key and end - start >= self._big:
                self._largest.add(key, end - start)

    # --- for the metrics

    def show(self) -> None:
        """Put what is known into the gauges; it is called before each reading of the metrics."""
        now, settings = self._env.now(), self._settings
        self._frequent.fade(0.5 ** ((now - self._faded) / settings.half_life))
        self._faded = now
        total = max(self._frequent.total, 1.0)
        hot = [(each.what, each.times / total) for each in self._frequent.top(settings.show)]
        big = [(key, float(size)) for key, size in self._largest.top(settings.show)]
        for gauge, found in zip(self._gauges, (hot, big)):
            gauge.forget("chain", [self._chain])
            for rank, (key, value) in enumerate(found, 1):
                gauge.labels(self._chain, str(rank), self._shown(key)).value = round(value, 4)

    def _shown(self, key: bytes) -> str:
        if not self._settings.names:
            return f"sha256:{sha256(key).hexdigest()[:16]}"
        text = key.decode("utf-8", "backslashreplace")
        return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}..."


@implementer(IPlugin, IFilterPlugin)
class HotKeysPlugin:
    """Makes the filter."""

    name = "hot_keys"
    settings = HotKeysSettings
    protocols = ("redis",)

    def build(self, settings: HotKeysSettings, env: Env) -> HotKeys:
        """Return a filter for one chain."""
        return HotKeys(settings, env)


plugin = HotKeysPlugin()
