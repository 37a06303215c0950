"""Commands that concern all servers: one reply of theirs.

A server that could not be asked has an error of the mesh's own among the replies.  What adds up is only said when all
have answered well: a sum without one of them would be a lie.
"""

from __future__ import annotations

from typing import Callable, Final, Sequence

from twisted_mesh.codec.commands import Command
from twisted_mesh.codec.info_merge import merge_info
from twisted_mesh.codec.resp import array, bulk, error, integer
from twisted_mesh.codec.resp_kinds import AGGREGATES, ARRAY, BULK, BULK_ERROR, ERROR, INTEGER, MAP, VERBATIM
from twisted_mesh.codec.resp_reply import ReplyReader
from twisted_mesh.codec.resp_reply_scan import Answer

Merge = Callable[[Sequence[bytes]], bytes]
_OTHER: Final = error("ERR", "upstream protocol error")
# Settings that are the mesh's own way into its servers.
_SECRETS: Final = frozenset(
    [b"requirepass", b"masterauth", b"primaryauth", b"tls-key-file-pass", b"tls-client-key-file-pass"]
)
# Entries of a log that are given if nobody says how many.
_LOG_ENTRIES: Final = 10


class Odd(Exception):
    """A reply is not what that command's reply looks like."""


def gather(
    command: Command,
    words: Sequence[bytes],
    replies: Sequence[bytes],
    draw: Callable[[], float],
    patterns_everywhere: bool = False,
) -> bytes:
    """Return the one reply that the whole replies of all servers come to.

    :param draw: the dice, for RANDOMKEY.
    :param patterns_everywhere: whether who listens to a pattern does so at each of the servers.
    """
    name = command.name
    if len(replies) == 1 and name not in ("INFO", "CONFIG|GET"):
        return replies[0]
    if name.endswith("|KILL"):
        return _one_well(replies)
    bad = [each for each in replies if each[0] in (ERROR, BULK_ERROR)]
    if bad:
        return bad[0] if len(set(bad)) == 1 and len(bad) in (1, len(replies)) else failed(len(bad))
    try:
        if name == "RANDOMKEY":
            return _drawn(replies, draw)
        if name in ("SLOWLOG|GET", "COMMANDLOG|GET"):
            return _log(words, replies)
        if name == "PUBSUB|NUMPAT" and patterns_everywhere:
            return integer(max(map(number, replies)))
        return _MERGES[name](replies)
    except Odd:
        return _OTHER


def failed(count: int) -> bytes:
    """Return the error that says how many servers did not do what was asked."""
    return error("ERR", f"finished with {count} error(s)")


def elements(reply: bytes) -> list[bytes]:
    """Return what is in an aggregate: each element as it stands there, a map's keys and values in turn.

    :raises Odd: it is none.
    """
    head, found, body = reply.partition(b"\r\n")
    kind = reply[0]
    if kind not in AGGREGATES or not found or not head[1:].isdigit():
        raise Odd
    reader = ReplyReader(limit=len(reply))
    answers: list[Answer] = reader.feed(body)
    if len(answers) != int(head[1:]) * AGGREGATES[kind] or reader.error or reader.unfinished:
        raise Odd
    return [body[start:end] for _, start, end in answers]


def number(reply: bytes) -> int:
    """Return the number that a reply is.

    :raises Odd: it is none.
    """
    try:
        if reply[0] == INTEGER:
            return int(reply[1:-2])
    except ValueError:
        pass
    raise Odd


def text(reply: bytes) -> bytes:
    """Return the bytes of a string reply.

    :raises Odd: it is none.
    """
    if reply[0] == BULK and reply[1:2] != b"-":
        return reply[reply.index(b"\n") + 1 : -2]
    if reply[0] == VERBATIM:
        return reply[reply.index(b"\n") + 5 : -2]
    raise Odd


def _again(kind: int, parts: Sequence[bytes]) -> bytes:
    """Return an aggregate of a kind with these elements."""
    return b"%c%d\r\n%b" % (kind, len(parts) // AGGREGATES[kind], b"".join(parts))


# --- one function for each way in which replies become one


def _same(replies: Sequence[bytes]) -> bytes:
    return replies[0]


def _sum(replies: Sequence[bytes]) -> bytes:
    return integer(sum(map(number, replies)))


def _least(replies: Sequence[bytes]) -> bytes:
    return integer(min(map(number, replies)))


def _each_least(replies: Sequence[bytes]) -> bytes:
    """An array of numbers: of each the least."""
    columns = _columns(replies)
    return array(integer(min(map(number, column))) for column in columns)


def _concatenated(replies: Sequence[bytes]) -> bytes:
    return _again(replies[0][0], [each for reply in replies for each in elements(reply)])


def _union(replies: Sequence[bytes]) -> bytes:
    found = dict.fromkeys(each for reply in replies for each in elements(reply))
    return _again(replies[0][0], list(found))


def _pair_sums(replies: Sequence[bytes]) -> bytes:
    """Names and numbers in turn, the same names from each."""
    totals: dict[bytes, int] = {}
    for reply in replies:
        parts = elements(reply)
        for name, count in zip(parts[::2], parts[1::2]):
            totals[name] = totals.get(name, 0) + number(count)
    return _again(replies[0][0], [each for name, total in totals.items() for each in (name, integer(total))])


def _columns(replies: Sequence[bytes]) -> list[tuple[bytes, ...]]:
    rows = list(map(elements, replies))
    if len(set(map(len, rows))) != 1:
        raise Odd
    return list(zip(*rows))


def _one_well(replies: Sequence[bytes]) -> bytes:
    """Where one server can do it: its reply, or else what is not "nothing to do here"."""
    well = [each for each in replies if each[0] not in (ERROR, BULK_ERROR)]
    said = [each for each in replies if not each.startswith(b"-NOTBUSY")]
    return (well or said or list(replies))[0]


def _texts(replies: Sequence[bytes]) -> bytes:
    parts = [b"# server %d of %d\n%b" % (place, len(replies), text(each)) for place, each in enumerate(replies, 1)]
    return _like(replies[0], b"\n".join(parts))


def _info(replies: Sequence[bytes]) -> bytes:
    decoded = [text(each).decode("utf-8", "surrogateescape") for each in replies]
    return _like(replies[0], merge_info(decoded).encode("utf-8", "surrogateescape"))


def _like(reply: bytes, value: bytes) -> bytes:
    """Return a string of the kind that `reply` is."""
    if reply[0] != VERBATIM:
        return bulk(value)
    kind = reply[reply.index(b"\n") + 1 :][:4]
    return b"=%d\r\n%b%b\r\n" % (len(value) + 4, kind, value)


def _statistics(replies: Sequence[bytes]) -> bytes:
    """Names and values in turn: numbers are added up, what is none is the first server's."""
    totals: dict[bytes, bytes] = {}
    for reply in replies:
        parts = elements(reply)
        for name, value in zip(parts[::2], parts[1::2]):
            known = totals.get(name)
            if known is None:
                totals[name] = value
            elif known[0] == value[0] == INTEGER:
                totals[name] = integer(number(known) + number(value))
    return _again(replies[0][0], [each for pair in totals.items() for each in pair])


def _histograms(replies: Sequence[bytes]) -> bytes:
    """For each command how often it was called, and how many calls took at most so long."""
    found: dict[bytes, list[bytes]] = {}
    for reply in replies:
        parts = elements(reply)
        for name, histogram in zip(parts[::2], parts[1::2]):
            found.setdefault(name, []).append(histogram)
    merged = [each for name, histograms in found.items() for each in (name, _histogram(histograms))]
    return _again(replies[0][0], merged)


def _histogram(histograms: Sequence[bytes]) -> bytes:
    if len(histograms) == 1:
        return histograms[0]
    columns = _columns(histograms)
    if len(columns) != 4:
        raise Odd
    calls = integer(sum(map(number, columns[1])))
    counts = [_buckets(each) for each in columns[3]]
    bounds = sorted({bound for each in counts for bound in each})
    buckets: list[bytes] = []
    for bound in bounds:
        # The counts are cumulative: where a server has no such bound, the one below it holds.
        total = sum(max((count for limit, count in each.items() if limit <= bound), default=0) for each in counts)
        buckets += [integer(bound), integer(total)]
    parts = [columns[0][0], calls, columns[2][0], _again(columns[3][0][0], buckets)]
    return _again(histograms[0][0], parts)


def _buckets(reply: bytes) -> dict[int, int]:
    parts = list(map(number, elements(reply)))
    return dict(zip(parts[::2], parts[1::2]))


def _running(replies: Sequence[bytes]) -> bytes:
    """FUNCTION STATS: of the server that runs a function, if one does."""
    for reply in replies:
        parts = elements(reply)
        if len(parts) > 1 and parts[1][0] in (ARRAY, MAP) and parts[1][1:2] != b"-":
            return reply
    return replies[0]


def _settings(replies: Sequence[bytes]) -> bytes:
    """Names and values in turn, the first server's where there are several; what lets one in is nobody's to read."""
    found: dict[bytes, bytes] = {}
    for reply in replies:
        parts = elements(reply)
        for name, value in zip(parts[::2], parts[1::2]):
            found.setdefault(name, bulk(b"") if text(name) in _SECRETS else value)
    return _again(replies[0][0], [each for pair in found.items() for each in pair])


def _log(words: Sequence[bytes], replies: Sequence[bytes]) -> bytes:
    """The newest entries of all logs, as many as were asked for; each begins with a number and its time."""
    count = int(words[2]) if len(words) > 2 and words[2].lstrip(b"-").isdigit() else _LOG_ENTRIES
    entries = [each for reply in replies for each in elements(reply)]
    entries.sort(key=lambda entry: number(elements(entry)[1]), reverse=True)
    return array(entries if count == -1 else entries[:count])


def _drawn(replies: Sequence[bytes], draw: Callable[[], float]) -> bytes:
    """Any of the keys."""
    keys = [each for each in replies if each[0] == BULK and each[1:2] != b"-"]
    return keys[int(draw() * len(keys))] if keys else replies[0]


def _named(names: str, merge: Merge) -> dict[str, Merge]:
    return dict.fromkeys(names.split(), merge)


_MERGES: Final[dict[str, Merge]] = {
    **_named("DBSIZE PUBSUB|NUMPAT SLOWLOG|LEN COMMANDLOG|LEN LATENCY|RESET", _sum),
    **_named("FLUSHALL FLUSHDB CONFIG|RESETSTAT CONFIG|REWRITE CONFIG|SET FUNCTION|DELETE FUNCTION|FLUSH", _same),
    **_named("FUNCTION|LOAD FUNCTION|RESTORE SCRIPT|FLUSH SCRIPT|LOAD SLOWLOG|RESET COMMANDLOG|RESET", _same),
    **_named("MEMORY|PURGE", _same),
    **_named("KEYS LATENCY|LATEST LATENCY|HISTORY", _concatenated),
    **_named("PUBSUB|CHANNELS PUBSUB|SHARDCHANNELS", _union),
    **_named("PUBSUB|NUMSUB PUBSUB|SHARDNUMSUB", _pair_sums),
    **_named("SCRIPT|EXISTS WAITAOF", _each_least),
    **_named("WAIT", _least),
    **_named("INFO", _info),
    **_named("LATENCY|DOCTOR LATENCY|GRAPH MEMORY|DOCTOR MEMORY|MALLOC-STATS", _texts),
    **_named("MEMORY|STATS", _statistics),
    **_named("LATENCY|HISTOGRAM", _histograms),
    **_named("FUNCTION|STATS", _running),
    **_named("CONFIG|GET", _settings),
}
_BY_NAME: Final = ("RANDOMKEY", "SLOWLOG|GET", "COMMANDLOG|GET", "SCAN")
GATHERED: Final = frozenset([*_MERGES, *_BY_NAME]) - {"WAIT", "WAITAOF", "CONFIG|GET", "FUNCTION|STATS"}
"""All that is gathered, but for what is over connections of the client's own.  SCAN goes from one server to the next
(`scan_cursor`)."""
