"""Print what has a shell complete meshctl's commands, options and values: bash, zsh or fish.

For bash put it into ~/.local/share/bash-completion/completions/meshctl, for zsh into a file _meshctl in a directory
of $fpath, for fish into ~/.config/fish/completions/meshctl.fish.
"""

from __future__ import annotations

import argparse

NAME = "completion"
HELP = "print the completion of a shell"


def options(parser: argparse.ArgumentParser) -> None:
    """Add what the command takes."""
    parser.add_argument("shell", metavar="SHELL", choices=("bash", "zsh", "fish"), help="bash, zsh or fish")


def run(arguments: argparse.Namespace) -> int:
    """Print the script."""
    from twisted_mesh.cli import shells
    from twisted_mesh.cli.main import parser
    from twisted_mesh.cli.words import words_of

    write = {"bash": shells.bash, "zsh": shells.zsh, "fish": shells.fish}[arguments.shell]
    print(write(words_of(parser())), end="")
    return 0
