"""``${NAME}`` and ``file:PATH``."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from twisted_mesh.control.substitute import MAX_FILE, Substitution, read_file

ENV = {"HOST": "a.example", "PORT": "80", "EMPTY": "", "ODD": "${HOST}", "FILE": "file:secret"}


@pytest.mark.parametrize(
    ("text", "result"),
    [
        ("${HOST}", "a.example"),
        ("${HOST}:${PORT}", "a.example:80"),
        ("${EMPTY}", ""),
        ("$HOST and $", "$HOST and $"),
        ("$${HOST}", "${HOST}"),
        ("$$${HOST}", "$${HOST}"),
        ("${ODD}", "${HOST}"),
        ("${FILE}", "file:secret"),
        ("file: nothing", "file: nothing"),
        ("file:", "file:"),
        ("a file:b", "a file:b"),
    ],
)
def test_variables_take_their_places_once(text: str, result: str) -> None:
    assert Substitution(ENV, "/")(text) == result


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("${HOTS}", 'the environment has no variable HOTS; did you mean "HOST"?'),
        ("${ZZZZZZ}", "the environment has no variable ZZZZZZ"),
        ("${HOST", 'expected ${NAME} (write $${ for ${ itself), got "${HOST"'),
        ("${}", 'expected ${NAME} (write $${ for ${ itself), got "${}"'),
        ("${a b}", 'expected ${NAME} (write $${ for ${ itself), got "${a b}"'),
        ("file:/no/such", 'cannot read "/no/such": No such file or directory'),
        ("file:/", 'cannot read "/": Is a directory'),
        ("file:a\0b", 'cannot read "/a\\u0000b": not a path: embedded null byte'),
    ],
)
def test_what_cannot_be_had_is_said(text: str, message: str) -> None:
    with pytest.raises(ValueError) as caught:
        Substitution(ENV, "/")(text)
    assert str(caught.value) == message


def test_a_file_is_read_from_the_directory_without_its_last_line_end(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("two\nlines\n")
    (tmp_path / "b.txt").write_bytes(b"dos\r\n")
    (tmp_path / "bad.txt").write_bytes(b"\xff")
    substitute = Substitution({"NAME": "a"}, str(tmp_path))
    assert substitute("file:a.txt") == "two\nlines"
    assert substitute("file:b.txt") == "dos"
    assert substitute("file:${NAME}.txt") == "two\nlines"
    assert substitute(f"file:{tmp_path}/a.txt") == "two\nlines"
    with pytest.raises(ValueError, match="it is not UTF-8"):
        substitute("file:bad.txt")


def test_files_are_regular_and_bounded(tmp_path: Path) -> None:
    (tmp_path / "big").write_bytes(b"x" * (MAX_FILE + 1))
    os.mkfifo(tmp_path / "pipe")
    substitute = Substitution({}, str(tmp_path))
    with pytest.raises(ValueError, match="larger than 1,048,576 bytes"):
        substitute("file:big")
    for endless in ("pipe", "/dev/zero"):
        with pytest.raises(ValueError, match="not a regular file"):
            substitute(f"file:{endless}")
    with pytest.raises(OSError, match="larger than 10 bytes"):
        read_file("/dev/zero", 10, regular=False)
