"""The words of the `code` and `flag` labels."""

from __future__ import annotations

from twisted_mesh.errors import FLAGS, Kind
from twisted_mesh.labels import code_label, flag_label


def test_a_status_is_counted_by_its_class() -> None:
    assert [code_label(each) for each in (0, 101, 204, 302, 404, 599)] == ["-", "1xx", "2xx", "3xx", "4xx", "5xx"]
    assert code_label(999) == code_label(-1) == "other"


def test_the_first_flag_counts_and_an_invented_one_is_other() -> None:
    assert flag_label(()) == "-"
    assert flag_label(("UF", "URX")) == "UF"
    assert flag_label(("$%&",)) == "other"
    for kind in Kind:
        assert flag_label((FLAGS[kind],)) == FLAGS[kind]
