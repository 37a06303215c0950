"""The last good configuration, endpoints and overrides on disk, for a start while Redis is away.

One file of a line of JSON, which says how long the rest is and what its SHA-256 is, and the rest.  It is written beside
and renamed, so that there is always a whole one, old or new; and only its owner may read it, as configurations may hold
secrets.
"""

from __future__ import annotations

import hashlib
import os
from contextlib import suppress
from typing import Any, Callable, Iterator, NamedTuple, Optional, Sequence

import msgspec

# Of the file; a larger one is none of ours.
MAX_BYTES = 256 << 20
FORMAT = 1
MODE = 0o600
DIRECTORY_MODE = 0o700
# Resources or instances, and letters of the store, that are encoded in one piece: a tenth of a millisecond.
FEW = 200
LETTERS = 64 << 10
# What a file that cannot be used is renamed to, so that somebody can look at it.
SPOILT = ".spoilt"


class DiskError(Exception):
    """What was kept cannot be read or written; the text is one line that names the file."""


class Good(msgspec.Struct, frozen=True, array_like=True):
    """A resource that was in force: its value as JSON."""

    name: str
    version: int
    body: str


class Ending(NamedTuple):
    """A record as JSON, and when it ends: seconds since the epoch, by this machine's clock."""

    record: str
    until: float


class KeptOverrides(msgspec.Struct, frozen=True):
    """The overrides that were in force.

    :ivar version: of their set, and `born` the life of Redis that it is of; see `twisted_mesh.bus.lease_scripts`.
    """

    version: int = 0
    born: str = ""
    records: tuple[Ending, ...] = ()


class Kept(msgspec.Struct, frozen=True):
    """What is kept.

    :ivar mesh: the name of the mesh that it is of.
    :ivar store: what `Stored.dump` made, joined.
    :ivar good: the resources that were in force, those included that a later version of the store spoilt.
    :ivar services: the instances of each service that was followed, as `instance.encode` made them.
    :ivar at: when it was written, in seconds since the epoch.
    :ivar overrides: what operators said at run time; none in files from before they were kept.
    """

    mesh: str
    store: str = ""
    good: tuple[Good, ...] = ()
    services: dict[str, tuple[str, ...]] = {}
    at: float = 0.0
    overrides: KeptOverrides = KeptOverrides()


class _Head(msgspec.Struct):
    format: int
    bytes: int
    sha256: str


class Disk:
    """What one sidecar keeps, in one file."""

    def __init__(self, path: str) -> None:
        self.path = path

    def __repr__(self) -> str:
        return f"<Disk {self.path}>"

    def load(self, mesh: str) -> Optional[Kept]:
        """Return what was kept of this mesh, None if nothing ever was.

        What is spoilt is renamed, so that it is not met again.

        :raises DiskError: it is spoilt, or of another mesh, or cannot be read.
        """
        try:
            with open(self.path, "rb") as file:
                data = file.read(MAX_BYTES + 1)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise DiskError(f"{self.path}: cannot be read: {error.strerror}") from error
        try:
            kept = _read(data)
        except ValueError as error:
            raise DiskError(f"{self.path}: {error}{self._put_away()}") from error
        if kept.mesh != mesh:
            raise DiskError(f"{self.path}: of the mesh {kept.mesh}, not of {mesh}")
        return kept

    def save(self, kept: Kept, rest: Callable[[], None] = lambda: None) -> None:
        """Replace what is there; may block for as long as the disk takes.

        :param rest: called again and again while it is encoded, for a thread that others wait for.
        :raises DiskError: it cannot be written; what was there stays.
        """
        pieces, length, checksum = [], 0, hashlib.sha256()
        for each in _pieces(kept):
            pieces.append(each)
            length += len(each)
            checksum.update(each)
            rest()
        head = _Head(FORMAT, length, checksum.hexdigest())
        try:
            self._write([msgspec.json.encode(head), b"\n", *pieces])
        except OSError as error:
            raise DiskError(f"{self.path}: cannot be written: {error.strerror}") from error

    def _write(self, pieces: Sequence[bytes]) -> None:
        directory = os.path.dirname(self.path)
        os.makedirs(directory, DIRECTORY_MODE, exist_ok=True)
        beside = f"{self.path}.new"
        with suppress(FileNotFoundError):
            os.unlink(beside)
        # Made anew, so that nobody who put a link or a readable file there gets it.
        handle = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, MODE)
        with os.fdopen(handle, "wb") as file:
            file.writelines(pieces)
            file.flush()
            os.fsync(file.fileno())
        os.replace(beside, self.path)
        at = os.open(directory, os.O_RDONLY)
        try:
            # Or the new name may be lost with the power, though the file is not.
            os.fsync(at)
        finally:
            os.close(at)

    def _put_away(self) -> str:
        try:
            os.replace(self.path, self.path + SPOILT)
        except OSError as error:
            return f"; it cannot be renamed: {error.strerror}"
        return f"; renamed to {os.path.basename(self.path)}{SPOILT}"


def _pieces(kept: Kept) -> Iterator[bytes]:
    """Yield what `msgspec` makes of `Kept`, in pieces."""
    encode = msgspec.json.encode
    yield b'{"mesh":%b,"at":%b,"overrides":%b,"store":"' % tuple(map(encode, (kept.mesh, kept.at, kept.overrides)))
    for start in range(0, len(kept.store), LETTERS):
        yield encode(kept.store[start : start + LETTERS])[1:-1]
    yield b'","good":['
    yield from _in_pieces(kept.good)
    yield b'],"services":{'
    for at, (name, some) in enumerate(kept.services.items()):
        yield b"%b%b:[" % (b"," if at else b"", encode(name))
        yield from _in_pieces(some)
        yield b"]"
    yield b"}}"


def _in_pieces(some: Sequence[Any]) -> Iterator[bytes]:
    for start in range(0, len(some), FEW):
        yield (b"," if start else b"") + msgspec.json.encode(some[start : start + FEW])[1:-1]


def _read(data: bytes) -> Kept:
    """Return what a file holds.

    :raises ValueError: it is not what was written.
    """
    line, _, body = data.partition(b"\n")
    try:
        head = msgspec.json.decode(line, type=_Head)
    except msgspec.DecodeError:
        raise ValueError("not a file of ours") from None
    if head.format != FORMAT:
        raise ValueError(f"written by another version of the mesh (format {head.format}, expected {FORMAT})")
    if len(body) != head.bytes:
        raise ValueError(
            f"{'truncated' if len(body) < head.bytes else 'too long'}: {len(body):,} of {head.bytes:,} bytes"
        )
    if hashlib.sha256(body).hexdigest() != head.sha256:
        raise ValueError("corrupt: its checksum does not fit")
    try:
        return msgspec.json.decode(body, type=Kept)
    except msgspec.DecodeError as error:
        raise ValueError(f"corrupt: {error}") from None
