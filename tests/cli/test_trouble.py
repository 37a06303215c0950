"""Problems of what is proposed, as what ends a command."""

from __future__ import annotations

from twisted_mesh.cli.trouble import refused
from twisted_mesh.errors import ConfigError, Problem


def test_a_line_for_each_and_the_same_for_programs() -> None:
    found = refused(ConfigError([Problem("a.yaml", 1, 2, "clusters.web", "no"), Problem("b.yaml", 0, 0, "", "gone")]))
    assert str(found) == "a.yaml:1:2: clusters.web: no\nb.yaml: gone"
    assert found.status == 1
    assert found.details is not None
    assert found.details["problems"][0] == {
        "file": "a.yaml",
        "line": 1,
        "column": 2,
        "path": "clusters.web",
        "message": "no",
    }
