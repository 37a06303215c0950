"""docs/meshctl.md, made from the parser so that it cannot drift from it."""

from __future__ import annotations

from twisted_mesh.cli.words import Argument, Option, Words

INTRODUCTION = """\
# meshctl

<!-- Made by `make docs` from the parser in twisted_mesh/cli; change that. -->

`meshctl` looks after a mesh from a shell: it checks configurations, changes them for all sidecars while calls flow, \
shows what the sidecars make of them, and says which instances a service has. It talks to the Redis of the mesh and to \
nothing else; sidecars need not be reached from where it runs.

```sh
meshctl --redis redis://127.0.0.1:6379 --mesh shop status
```

`MESHCTL_REDIS` and `MESHCTL_MESH` stand in for `--redis` and `--mesh`, which may stand before the command or behind \
it. What everyone can read in a list of processes is no place for a password: keep it in `MESHCTL_REDIS`. \
[redis.md](redis.md) has every form of the URL.

Every command prints for people, and with `-o json` for programs. Problems go to the standard error, one line each.

| status | what it says |
|---|---|
| 0 | done |
| 1 | the answer is no: refused, not found, in conflict, not acknowledged in time |
| 2 | the command line makes no sense, or does not say where the Redis is |
| 3 | the Redis cannot be reached, does not answer, or refuses |

`meshctl run` ends with the status of the command that it runs instead.

## Completion

```sh
meshctl completion bash > ~/.local/share/bash-completion/completions/meshctl
```

```sh
meshctl completion zsh > "${fpath[1]}/_meshctl"
```

```sh
meshctl completion fish > ~/.config/fish/completions/meshctl.fish
```
"""


def markdown(whole: Words) -> str:
    """Return the whole page."""
    listed = [
        "## Commands\n",
        "| command | what it does |",
        "|---|---|",
        *(f"| [`{_short(each)}`](#{_anchor(each)}) | {_cell(each.about)} |" for each in whole.commands),
        "",
    ]
    before = ["### Options before the command\n", *_options(whole.options), ""]
    parts = [INTRODUCTION, "\n".join(listed), "\n".join(before), *(_command(each) for each in whole.commands)]
    return "\n".join(parts)


def _short(command: Words) -> str:
    return command.name.partition(" ")[2]


def _anchor(command: Words) -> str:
    return command.name.replace(" ", "-")


def _command(command: Words) -> str:
    lines = [f"## {command.name}\n", f"```\n{command.usage}\n```\n", command.description, ""]
    if command.arguments:
        lines += ["| argument | |", "|---|---|", *map(_argument, command.arguments), ""]
    options = [each for each in command.options if each.names[0] != "-h"]
    if options:
        lines += [*_options(options), ""]
    return "\n".join(lines)


def _argument(argument: Argument) -> str:
    return f"| `{_cell(argument.name)}` | {_cell(argument.about)} |"


def _options(options: list[Option] | tuple[Option, ...]) -> list[str]:
    rows = ["| option | |", "|---|---|"]
    for each in options:
        names = ", ".join(f"`{name}`" for name in each.names)
        value = f" `{each.value}`" if each.value else ""
        more = "; may be given several times" if each.repeatable else ""
        rows.append(f"| {names}{_cell(value)} | {_cell(each.about)}{more} |")
    return rows


def _cell(text: str) -> str:
    return text.replace("|", "\\|")
