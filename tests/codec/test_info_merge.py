"""One INFO of many."""

from __future__ import annotations

import pytest

from tests.codec.test_gather import merged
from twisted_mesh.codec.info_merge import human_size
from twisted_mesh.codec.resp import bulk

INFO = """# Server\r
redis_version:9.1.0\r
tcp_port:{port}\r
# Clients\r
connected_clients:{clients}\r
# Memory\r
used_memory:{memory}\r
used_memory_human:x\r
mem_fragmentation_ratio:1.{clients}\r
# CPU\r
used_cpu_sys:0.25{clients}\r
# Commandstats\r
cmdstat_get:calls={clients},usec=20,usec_per_call={clients}.00,rejected_calls=0,failed_calls=1\r
# Keyspace\r
db{db}:keys=3,expires={clients},avg_ttl=100\r
"""


def test_info_adds_up_what_counts() -> None:
    texts = [
        INFO.format(port=port, clients=clients, memory=memory, db=db)
        for port, clients, memory, db in ((1, 2, 1000, 0), (2, 6, 1048000, 0), (3, 1, 5, 4))
    ]
    reply = merged("INFO", *(bulk(each.encode()) for each in texts)).decode()
    for line in (
        "tcp_port:1",
        "connected_clients:9",
        "used_memory:1049005",
        "used_memory_human:1.00M",
        "mem_fragmentation_ratio:1.2",
        "used_cpu_sys:0.759",
        "cmdstat_get:calls=9,usec=60,usec_per_call=4.56,rejected_calls=0,failed_calls=3",
        "db0:keys=6,expires=8,avg_ttl=100",
        "db4:keys=3,expires=1,avg_ttl=100",
        "# Mesh",
        "mesh_servers:3",
    ):
        assert f"\r\n{line}\r\n" in reply
    assert reply.count("# Clients") == 1
    assert merged("INFO", b"=%d\r\ntxt:%b\r\n" % (len(texts[0]) + 4, texts[0].encode())).startswith(b"=")


@pytest.mark.parametrize(
    ("size", "shown"), [(0, "0B"), (1023, "1023B"), (1536, "1.50K"), (2**20, "1.00M"), (5 * 2**40, "5.00T")]
)
def test_sizes_are_written_as_servers_write_them(size: int, shown: str) -> None:
    assert human_size(size) == shown
