"""Copy the keys of one Redis to another, as far as they are not there, and tell how the two differ.

OLD and NEW are HOST:PORT or redis://USER:PASSWORD@HOST:PORT/DB, of servers or of Redis listeners of a sidecar; one
database of each. Mirror the writes of a route to NEW first, so that what is written meanwhile comes there too: a key
that NEW has already is left alone, as it may be newer. With --overwrite those that differ get what OLD has; with
--verify nothing is copied.

Values are compared, when keys end, and the groups of streams. What differs is looked at again a few times, as something
may just have been written, before it is counted. The exit status is 1 if the two differ in the end.
"""

from __future__ import annotations

import argparse
import time
from typing import Any, Iterator, Sequence

import hiredis

from twisted_mesh.cli import parser as options_of
from twisted_mesh.cli.output import counted, plain, show
from twisted_mesh.cli.redis_link import RedisLink, Word

NAME = "migrate"
HELP = "copy the keys of one Redis to another, and compare the two"

# Keys at a time, and how many of those that differ are named.
BATCH = 200
NAMED = 20
# How often what differs is looked at again, and after how long.
LOOKS = 3
PAUSE = 0.2
# Milliseconds by which the ends of a key may differ: who set both did it one after the other.
SLACK = 5000
# How content is read where the serialised forms differ, as they may between versions and sizes.
_READ: dict[bytes, list[Word]] = {
    b"string": ["GET"],
    b"hash": ["HGETALL"],
    b"list": ["LRANGE", 0, -1],
    b"set": ["SMEMBERS"],
    b"zset": ["ZRANGE", 0, -1, "WITHSCORES"],
    b"stream": ["XRANGE", "-", "+"],
}
_PAIRS = frozenset([b"hash"])
_UNORDERED = frozenset([b"set"])


def options(parser: argparse.ArgumentParser) -> None:
    """Add what the command takes."""
    parser.add_argument("old", metavar="OLD", help="the Redis that has the keys")
    parser.add_argument("new", metavar="NEW", help="the Redis that is to have them")
    parser.add_argument("--match", metavar="PATTERN", default="*", help="only keys like this, as SCAN takes it")
    either = parser.add_mutually_exclusive_group()
    either.add_argument("--overwrite", action="store_true", help="copy what differs, too, over what NEW has")
    either.add_argument("--verify", action="store_true", help="copy nothing, only compare")
    options_of.output(parser, ("text", "json"))


def run(arguments: argparse.Namespace) -> int:
    """Copy and compare."""
    old, new = RedisLink(arguments.old), RedisLink(arguments.new)
    try:
        migration = _Migration(old, new, arguments.match, copy=not arguments.verify, overwrite=arguments.overwrite)
        report = migration.run()
    finally:
        old.close()
        new.close()
    show(arguments, report, lambda: _text(report))
    return 1 if any(report[each] for each in ("different", "missing", "extra", "failed")) else 0


class _Migration:
    def __init__(self, old: RedisLink, new: RedisLink, match: str, *, copy: bool, overwrite: bool) -> None:
        self._old = old
        self._new = new
        self._match = match
        self._copy = copy
        self._overwrite = overwrite
        self._seen = self._copied = self._overwritten = self._same = 0
        self._failed: list[str] = []

    def run(self) -> dict[str, Any]:
        """Return the report."""
        open_questions: list[bytes] = []
        for keys in self._scanned(self._old):
            self._seen += len(keys)
            if self._copy:
                self._copy_missing(keys)
            open_questions += self._differing(keys)
        open_questions = self._looked_at_again(open_questions)
        if self._overwrite and open_questions:
            for at in _batches(open_questions):
                self._replace(at)
            open_questions = self._looked_at_again(open_questions)
        missing = [key for at in _batches(open_questions) for key in self._absent(self._new, at)]
        gone = set(missing)
        return {
            "keys": self._seen,
            "copied": self._copied,
            "overwritten": self._overwritten,
            "same": self._same,
            "different": _named(key for key in open_questions if key not in gone),
            "missing": _named(missing),
            "extra": _named(self._extra()),
            "failed": self._failed,
        }

    def _scanned(self, link: RedisLink) -> Iterator[list[bytes]]:
        """Yield the keys of one Redis, some at a time, each once in its batch."""
        cursor: Any = 0
        while True:
            (answer,) = link.ask([["SCAN", cursor, "MATCH", self._match, "COUNT", BATCH]])
            if isinstance(answer, hiredis.ReplyError):
                self._failed.append(f"{link.name}: SCAN: {answer}")
                return
            cursor, keys = answer
            if keys:
                yield list(dict.fromkeys(keys))
            if cursor in (b"0", 0):
                return

    def _looked_at_again(self, keys: list[bytes]) -> list[bytes]:
        """Return which of these differ still, a few moments later."""
        for _ in range(LOOKS):
            if keys:
                time.sleep(PAUSE)  # noqa: TID251  # no loop runs here
                keys = [key for at in _batches(keys) for key in self._differing(at)]
        return keys

    def _copy_missing(self, keys: list[bytes]) -> None:
        self._copied += self._restored(self._absent(self._new, keys))

    def _replace(self, keys: Sequence[bytes]) -> None:
        self._overwritten += self._restored(keys, "REPLACE")

    def _restored(self, keys: Sequence[bytes], *options: Word) -> int:
        """Copy these keys; returns how many were."""
        asked: list[list[Word]] = [[name, key] for key in keys for name in ("PTTL", "DUMP")]
        answers = self._old.ask(asked)
        wanted: list[tuple[bytes, list[Word]]] = []
        for key, ttl, dump in zip(keys, answers[::2], answers[1::2]):
            # One that is gone by now need not be copied.
            if isinstance(dump, bytes):
                wanted.append((key, ["RESTORE", key, max(int(ttl), 0), dump, *options]))
        done = 0
        for (key, _), answer in zip(wanted, self._new.ask([command for _, command in wanted])):
            if not isinstance(answer, hiredis.ReplyError):
                done += 1
            elif not str(answer).startswith("BUSYKEY"):
                self._failed.append(f"{_shown(key)}: {answer}")
        return done

    def _absent(self, link: RedisLink, keys: Sequence[bytes]) -> list[bytes]:
        return [key for key, known in zip(keys, link.ask([["EXISTS", key] for key in keys])) if known == 0]

    def _differing(self, keys: Sequence[bytes]) -> list[bytes]:
        """Return which of these are not the same in both; the others are counted."""
        asked: list[list[Word]] = [[name, key] for key in keys for name in ("DUMP", "PTTL")]
        ours, theirs = self._old.ask(asked), self._new.ask(asked)
        differing = []
        for key, one, end, other, other_end in zip(keys, ours[::2], ours[1::2], theirs[::2], theirs[1::2]):
            # What is behind the last ten bytes is the version of the form, and a sum.
            alike = one == other or (isinstance(one, bytes) and isinstance(other, bytes) and one[:-10] == other[:-10])
            if _end_alike(end, other_end) and (alike or (other is not None and self._equal(key))):
                self._same += 1
            else:
                differing.append(key)
        return differing

    def _equal(self, key: bytes) -> bool:
        return bool(self._content(self._old, key) == self._content(self._new, key))

    def _content(self, link: RedisLink, key: bytes) -> Any:
        (kind,) = link.ask([["TYPE", key]])
        kind = kind if isinstance(kind, bytes) else str(kind).encode()
        command = _READ.get(kind)
        if command is None:
            return kind, None if kind == b"none" else object()
        (content,) = link.ask([[command[0], key, *command[1:]]])
        if kind == b"stream":
            (groups,) = link.ask([["XINFO", "GROUPS", key]])
            return kind, content, [_group(each) for each in groups] if isinstance(groups, list) else groups
        if kind in _PAIRS:
            content = dict(zip(content[::2], content[1::2]))
        return kind, frozenset(content) if kind in _UNORDERED else content

    def _extra(self) -> Iterator[bytes]:
        for keys in self._scanned(self._new):
            yield from self._absent(self._old, keys)


def _end_alike(one: Any, other: Any) -> bool:
    """Whether two keys end at the same time, or never."""
    if not isinstance(one, int) or not isinstance(other, int) or min(one, other) < 0:
        return bool(one == other)
    return abs(one - other) <= SLACK


def _group(flat: Sequence[Any]) -> tuple[Any, ...]:
    """Return what has to be the same of a group of a stream: its name, how far it has come, what it waits for."""
    facts = dict(zip(flat[::2], flat[1::2]))
    return tuple(facts.get(each) for each in (b"name", b"last-delivered-id", b"pending"))


def _batches(keys: Sequence[bytes]) -> Iterator[Sequence[bytes]]:
    for start in range(0, len(keys), BATCH):
        yield keys[start : start + BATCH]


def _named(keys: Any) -> dict[str, Any]:
    """Return how many there are, and the names of the first; empty for none."""
    found = list(keys)
    return {"count": len(found), "first": [_shown(key) for key in found[:NAMED]]} if found else {}


def _shown(key: bytes) -> str:
    return key.decode("utf-8", "backslashreplace")


def _text(report: dict[str, Any]) -> str:
    looked = f"{counted(report['keys'], 'key')} of the old one looked at"
    over = f", {report['overwritten']:,} overwritten" if report["overwritten"] else ""
    lines = [f"{looked}, {report['copied']:,} copied{over}, {report['same']:,} the same"]
    for name, what in (("different", "differ"), ("missing", "are missing in the new one"), ("extra", "are new there")):
        found = report[name]
        if found:
            more = ", ..." if found["count"] > len(found["first"]) else ""
            lines.append(f"{found['count']:,} {what}: {', '.join(map(plain, found['first']))}{more}")
    lines += [f"failed: {plain(each)}" for each in report["failed"]]
    return "\n".join(lines)
