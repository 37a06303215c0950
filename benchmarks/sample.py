"""One measurement, and the median of several."""

from __future__ import annotations

import statistics
from dataclasses import dataclass, fields
from typing import Any, Optional, Sequence


@dataclass(frozen=True)
class Sample:
    """What one round of one row saw of one proxy; None where it means nothing.

    `rate` requests or bytes per second, `cost` microseconds of CPU per request, `p50` and `p99` milliseconds, `memory`
    bytes per connection, `start` seconds, `per_cpu` bytes per second of CPU, `errors` answers that were not 2xx, cut
    or missing, `late` requests that the client itself sent too late.
    """

    rate: Optional[float] = None
    cost: Optional[float] = None
    p50: Optional[float] = None
    p99: Optional[float] = None
    bytes_rate: Optional[float] = None
    per_cpu: Optional[float] = None
    added: Optional[float] = None
    memory: Optional[float] = None
    start: Optional[float] = None
    errors: int = 0
    late: int = 0


def median(samples: Sequence[Sample]) -> Sample:
    """Each figure's median, and the sum of what went wrong: an error in any round is worth seeing."""
    values: dict[str, Any] = {}
    for each in fields(Sample):
        known = [value for value in (getattr(sample, each.name) for sample in samples) if value is not None]
        values[each.name] = statistics.median(known) if known else None
    for name in ("errors", "late"):
        values[name] = sum(getattr(sample, name) for sample in samples)
    return Sample(**values)
