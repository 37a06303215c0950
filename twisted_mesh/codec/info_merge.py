"""One INFO of many servers: what counts is added up, what describes a server is the first one's.

Sections and fields stay in the order in which the first server that has them gives them; a section of our own says how
many servers it is about.
"""

from __future__ import annotations

import re
from typing import Optional, Sequence

# Numbers that mean something as a sum: how many there are, how much is used, how often something happened.
_SUMMED = re.compile(
    r"connected_clients|blocked_clients|tracking_clients|pubsub_clients|watching_clients|clients_in_timeout_table"
    r"|total_.*|instantaneous_.*|rejected_connections|sync_.*|expire[d_].*|evict.*|keyspace_.*|pubsub_channels"
    r"|pubsub_patterns|pubsubshard_channels|tracking_total_.*|unexpected_error_replies|acl_access_denied_.*"
    r"|used_memory|used_memory_(?!.*(?:human|perc)$).*|maxmemory|mem_(?!fragmentation_ratio|allocator).*|used_cpu_.*"
    r"|allocator_(?:allocated|active|resident|muzzy)|connected_slaves|io_threaded_.*|rdb_changes_since_last_save"
    r"|number_of_.*|active_defrag_.*|slave_expires_tracked_keys|dump_payload_sanitizations|migrate_cached_sockets"
    r"|reply_buffer_.*|client_.*_disconnections|latest_fork_usec|lazyfree.*|current_.*_keys_.*|cluster_connections"
)
# Of fields that hold several: ``calls=3,usec=12,usec_per_call=4.00``.
_PARTS = re.compile(r"(?:cmdstat|errorstat)_.+|db\d+")
_HUMAN = re.compile(r"(used_memory(?:_\w+)?|maxmemory|total_system_memory)_human")
_NUMBER = re.compile(r"-?\d+(?:\.\d+)?")


def merge_info(texts: Sequence[str]) -> str:
    """Return one INFO for those of several servers."""
    sections: dict[str, dict[str, list[str]]] = {}
    for text in texts:
        section: dict[str, list[str]] = sections.setdefault("", {})
        for line in text.splitlines():
            if line.startswith("#"):
                section = sections.setdefault(line, {})
            elif ":" in line:
                name, _, value = line.partition(":")
                section.setdefault(name, []).append(value)
    written = [_section(heading, fields) for heading, fields in sections.items() if heading or fields]
    written.append(f"# Mesh\r\nmesh_servers:{len(texts)}\r\n")
    return "\r\n".join(written)


def _section(heading: str, fields: dict[str, list[str]]) -> str:
    merged: dict[str, str] = {}
    for name, values in fields.items():
        human = _HUMAN.fullmatch(name)
        total = merged.get(human[1]) if human else None
        merged[name] = _value(name, values) if total is None else human_size(int(total))
    lines = ([heading] if heading else []) + [f"{name}:{value}" for name, value in merged.items()]
    return "\r\n".join(lines) + "\r\n"


def _value(name: str, values: list[str]) -> str:
    if len(values) == 1:
        return values[0]
    if _PARTS.fullmatch(name):
        return _parts(values)
    if _SUMMED.fullmatch(name):
        return _sum(values) or values[0]
    return values[0]


def _sum(values: Sequence[str]) -> Optional[str]:
    if not all(map(_NUMBER.fullmatch, values)):
        return None
    digits = max(len(each.partition(".")[2]) for each in values)
    if digits:
        return f"{sum(map(float, values)):.{digits}f}"
    return str(sum(map(int, values)))


def _parts(values: Sequence[str]) -> str:
    """Add up what is counted, and work out again what is a mean: of calls, or of keys that expire."""
    split = [dict(each.partition("=")[::2] for each in value.split(",")) for value in values]
    names = dict.fromkeys(name for each in split for name in each)
    merged = {}
    for name in names:
        weight = {"usec_per_call": "calls", "avg_ttl": "expires"}.get(name)
        found = [each[name] for each in split if name in each]
        if weight is None:
            merged[name] = _sum(found) or found[0]
        else:
            merged[name] = _mean(found, [each.get(weight, "0") for each in split if name in each])
    return ",".join(f"{name}={value}" for name, value in merged.items())


def _mean(values: Sequence[str], weights: Sequence[str]) -> str:
    if not all(map(_NUMBER.fullmatch, [*values, *weights])):
        return values[0]
    total = sum(map(float, weights))
    mean = sum(float(each) * float(weight) for each, weight in zip(values, weights)) / total if total else 0.0
    digits = max(len(each.partition(".")[2]) for each in values)
    return f"{mean:.{digits}f}"


def human_size(size: int) -> str:
    """Return a size as servers write it."""
    if size < 1024:
        return f"{size}B"
    for power, unit in enumerate("KMGTP", 1):
        if size < 1024 ** (power + 1):
            return f"{size / 1024**power:.2f}{unit}"
    return f"{size}B"
