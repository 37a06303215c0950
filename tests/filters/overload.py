"""A filter against overload in front of a scripted upstream, and what it has counted."""

from __future__ import annotations

from typing import Any

from twisted_mesh.errors import Kind, MeshError, Origin
from twisted_mesh.testing import Chain, Env, FakeUpstream, http_call

REFUSED = "twisted_mesh_filter_overload_calls_total"


class World:
    def __init__(self, name: str, *script: Any, **settings: Any) -> None:
        self.env = Env()
        self.chain = Chain([self.env.build(name, **settings)], FakeUpstream(*script), self.env)
        self.name = name

    def run(self, times: int = 1, call: Any = http_call) -> list[Any]:
        return [self.chain.call(call()) for _ in range(times)]

    def counts(self) -> tuple[float, float]:
        return (self.env.count(REFUSED, self.name, "admitted"), self.env.count(REFUSED, self.name, "refused"))


def reset() -> MeshError:
    return MeshError(Kind.RESET, "gone", origin=Origin.UPSTREAM)


def explained(filter: Any, call: Any = None) -> tuple[str, str]:
    return tuple(filter.explain(call or http_call()))  # type: ignore[return-value]
