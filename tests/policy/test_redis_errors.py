"""What the errors of Redis servers say of them."""

from __future__ import annotations

import pytest

from twisted_mesh.policy.redis_errors import OK, TOO_MANY, UNAVAILABLE, verdict


@pytest.mark.parametrize(
    "text",
    [
        "-LOADING Redis is loading the dataset in memory",
        "-LOADING Valkey is loading the dataset in memory",
        "-MASTERDOWN Link with MASTER is down and replica-serve-stale-data is set to 'no'.",
        "-CLUSTERDOWN The cluster is down",
        "-CLUSTERDOWN The cluster is down and only accepts read commands",
        "-BUSY Redis is busy running a script. You can only call SCRIPT KILL or SHUTDOWN NOSAVE.",
        "-NOAUTH Authentication required.",
        "-DENIED Redis is running in protected mode because protected mode is enabled",
        "-ERR max number of clients reached",
        "-ERR max number of clients + cluster connections reached",
    ],
)
def test_it_can_do_nothing(text: str) -> None:
    assert verdict(text.encode() + b"\r\n") == UNAVAILABLE


@pytest.mark.parametrize(
    "text",
    [
        "-READONLY You can't write against a read only replica.",
        "-OOM command not allowed when used memory > 'maxmemory'.",
        "-MISCONF Redis is configured to save RDB snapshots, but it's currently unable to persist to disk.",
        "-NOREPLICAS Not enough good replicas to write.",
    ],
)
def test_it_takes_no_writes(text: str) -> None:
    assert verdict(text.encode() + b"\r\n") == TOO_MANY


@pytest.mark.parametrize(
    "text",
    [
        "-WRONGTYPE Operation against a key holding the wrong kind of value",
        "-ERR unknown command 'x'",
        "-NOSCRIPT No matching script. Please use EVAL.",
        "-BUSYGROUP Consumer Group name already exists",
        "-BUSYKEY Target key name already exists.",
        "-EXECABORT Transaction discarded because of previous errors.",
        "-CLUSTERDOWN Hash slot not served",
        "-CROSSSLOT Keys in request don't hash to the same slot",
        "-MOVED 3999 127.0.0.1:6381",
        "-ASK 3999 127.0.0.1:6381",
        "-TRYAGAIN Multiple keys request during rehashing of slot",
        "-NOPERM User default has no permissions to run the 'get' command",
        "-OOMPH what a script of the user's says",
        "+LOADING",
        "$9",
        "!21\r\nLOADING and so on",
        "",
    ],
)
def test_what_is_the_commands_own_says_nothing(text: str) -> None:
    assert verdict(text.encode()) == OK
