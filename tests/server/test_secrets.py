"""What files refer to is shown as it was written there."""

from __future__ import annotations

from pathlib import Path

from twisted_mesh.server.secrets import Secrets


def test_values_from_elsewhere_are_shown_as_they_were_written(tmp_path: Path) -> None:
    (tmp_path / "key.txt").write_text("from a file\n")
    path = tmp_path / "mesh.yaml"
    path.write_text(
        "a: ${PLAIN}\nb: [file:key.txt, 'x${INNER}y', '$${LITERAL}', '${PORT}']\nc: ${GONE}\nd: file:none\n"
    )
    env = {"PLAIN": "hunter2", "INNER": "s3cr3tvalue", "LITERAL": "literal", "PORT": "8080", "HOME": "/home/x"}
    secrets = Secrets(str(path), env)
    hide = secrets.hiding()
    assert hide("hunter2 and hunter22") == "${PLAIN} and hunter22"
    assert hide("xs3cr3tvaluey") == "x${INNER}y"
    assert hide("from a file") == "file:key.txt"
    assert hide("127.0.0.1:8080 127.0.0.1:18080") == "127.0.0.1:${PORT} 127.0.0.1:18080"
    assert hide("literal /home/x") == "literal /home/x"
    # What they said before may still be in force.
    path.write_text("a: b\n")
    assert secrets.hiding()("hunter2") == "${PLAIN}"
    path.unlink()
    assert secrets.hiding()("hunter2") == "${PLAIN}"


def test_a_variable_with_the_name_of_a_secret_is_hidden_wherever_it_is_used(tmp_path: Path) -> None:
    path = tmp_path / "mesh.yaml"
    path.write_text("")
    hide = Secrets(str(path), {"DB_PASSWORD": "hunter2", "API_TOKEN": "abc", "AUTHOR": "somebody"}).hiding()
    assert hide("a hunter2 abc somebody") == "a ${DB_PASSWORD} abc somebody"
    assert Secrets(str(path), {}).hiding()("anything") == "anything"
