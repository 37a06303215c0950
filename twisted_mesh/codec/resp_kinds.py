"""The types of replies: the bytes that they begin with."""

from __future__ import annotations

SIMPLE, ERROR, INTEGER, BULK, ARRAY = b"+-:$*"
NULL, BOOLEAN, DOUBLE, BIG_NUMBER, BULK_ERROR, VERBATIM, MAP, SET, PUSH, ATTRIBUTE = b"_#,(!=%~>|"

LINES = frozenset((SIMPLE, ERROR, INTEGER, NULL, BOOLEAN, DOUBLE, BIG_NUMBER))
STRINGS = frozenset((BULK, BULK_ERROR, VERBATIM))
# How many elements stand behind each one that is announced.
AGGREGATES = {ARRAY: 1, SET: 1, PUSH: 1, MAP: 2, ATTRIBUTE: 2}
KINDS = LINES | STRINGS | AGGREGATES.keys()
# What may be announced as -1, which is RESP2's null.
NULLABLE = frozenset((BULK, ARRAY))
