"""Completion scripts for shells, made from what the parser knows."""

from __future__ import annotations

from typing import Sequence, Union

from twisted_mesh.cli.words import ASKED, FILES, Argument, Option, Words

_BASH = """\
# meshctl: completion for bash, made by `meshctl completion bash`.
_meshctl_names() {
    [[ -z $MESHCTL_REDIS ]] || meshctl "$@" 2>/dev/null
}
_meshctl() {
    local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD-1]} command= i
    COMPREPLY=()
    for ((i = 1; i < COMP_CWORD; i++)); do
        case ${COMP_WORDS[i]} in
            --)
                # What `meshctl run` runs.
                if ((i + 1 == COMP_CWORD)); then
                    COMPREPLY=($(compgen -c -- "$cur"))
                else
                    COMPREPLY=($(compgen -f -- "$cur"))
                fi
                return ;;
            @VALUED@) [[ -n $command ]] || ((i++)) ;;
            -*) ;;
            *) [[ -n $command ]] || command=${COMP_WORDS[i]} ;;
        esac
    done
    case $command:$prev in
@VALUES@
    esac
    case $command:$cur in
@OPTIONS@
    esac
    case $command in
        '') COMPREPLY=($(compgen -W '@COMMANDS@' -- "$cur")) ;;
@ARGUMENTS@
    esac
}
complete -o bashdefault -F _meshctl meshctl
"""


def bash(whole: Words) -> str:
    """Return the script for bash; it needs nothing that bash does not bring along."""
    everywhere = "|".join(name for each in whole.options if each.value for name in each.names)
    values, given, arguments = [], [], []
    for command in (whole, *whole.commands):
        word = "" if command is whole else _word(command)
        for option in command.options:
            if option.value:
                patterns = "|".join(f"{word}:{name}" for name in option.names)
                values.append(f"        {patterns}) {_bash_values(option)}return ;;")
        names = " ".join(name for option in command.options for name in option.names)
        given.append(f"        {word}:-*) COMPREPLY=($(compgen -W '{names}' -- \"$cur\")); return ;;")
        if command is not whole and command.arguments:
            arguments.append(f"        {word}) {_bash_values(command.arguments[0])};;")
    script = _BASH.replace("@VALUED@", everywhere).replace("@COMMANDS@", " ".join(map(_word, whole.commands)))
    script = script.replace("@VALUES@", "\n".join(values)).replace("@OPTIONS@", "\n".join(given))
    return script.replace("@ARGUMENTS@", "\n".join(arguments))


def _bash_values(what: Union[Option, Argument]) -> str:
    if what.choices:
        return f"COMPREPLY=($(compgen -W '{' '.join(what.choices)}' -- \"$cur\")); "
    if _of_files(what):
        return 'compopt -o filenames; COMPREPLY=($(compgen -f -- "$cur")); '
    if asked := _asked(what):
        return f'COMPREPLY=($(compgen -W "$(_meshctl_names {asked})" -- "$cur")); '
    return ""


def _of_files(what: Union[Option, Argument]) -> bool:
    return (what.value if isinstance(what, Option) else what.name) in FILES


def _asked(what: Union[Option, Argument]) -> str:
    """Return what is asked of the mesh for the value, "" if nothing is."""
    return ASKED.get(what.name, "") if isinstance(what, Argument) else ""


def _word(command: Words) -> str:
    return command.name.partition(" ")[2]


_ZSH = """\
#compdef meshctl
# Completion for zsh, made by `meshctl completion zsh`.
_meshctl_names() {
    local -a names
    [[ -z $MESHCTL_REDIS ]] || names=(${(f)"$(meshctl "$@" 2>/dev/null)"})
    compadd -a names
}
_meshctl() {
    local context state state_descr line
    typeset -A opt_args
    local -a commands
    commands=(
@COMMANDS@
    )
    _arguments -C \\
@OPTIONS@
        '1:command:->command' \\
        '*::argument:->arguments'
    case $state in
        command) _describe command commands ;;
        arguments)
            case $words[1] in
@CASES@
            esac ;;
    esac
}
if [[ $zsh_eval_context[-1] == loadautofunc ]]; then
    _meshctl "$@"
else
    compdef _meshctl meshctl
fi
"""


def zsh(whole: Words) -> str:
    """Return the script for zsh."""
    commands = "\n".join(f"        {_quoted(f'{_word(each)}:{each.about}')}" for each in whole.commands)
    given = "\n".join(f"        {spec} \\" for option in whole.options for spec in _zsh_option(option))
    cases = []
    for command in whole.commands:
        specs = [spec for option in command.options for spec in _zsh_option(option)]
        specs += [_zsh_argument(number, each) for number, each in enumerate(command.arguments, 1)]
        if command.rest:
            specs.append("'*::command: _normal'")
        cases.append(
            f"                {_word(command)})\n                    _arguments "
            + " \\\n                        ".join(specs)
            + " ;;"
        )
    script = _ZSH.replace("@COMMANDS@", commands).replace("@OPTIONS@", given)
    return script.replace("@CASES@", "\n".join(cases))


def _zsh_option(option: Option) -> list[str]:
    about = option.about.replace("[", "\\[").replace("]", "\\]")
    value = f":{_zsh_text(option.value)}:{_zsh_values(option)}" if option.value else ""
    star = "*" if option.repeatable else ""
    return [_quoted(f"{star}{name}[{about}]{value}") for name in option.names]


def _zsh_argument(number: int, argument: Argument) -> str:
    place = "*" if argument.many else str(number)
    optional = ":" if argument.optional and not argument.many else ""
    return _quoted(f"{place}:{optional}{_zsh_text(argument.name)}:{_zsh_values(argument)}")


def _zsh_values(what: Union[Option, Argument]) -> str:
    if what.choices:
        return f"({' '.join(what.choices)})"
    if asked := _asked(what):
        return f"_meshctl_names {asked}"
    return "_files" if _of_files(what) else " "


def _zsh_text(text: str) -> str:
    return text.replace(":", "\\:")


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "'\\''") + "'"


_FISH = """\
# meshctl: completion for fish, made by `meshctl completion fish`.
function __meshctl_names
    test -z "$MESHCTL_REDIS"; or meshctl $argv 2>/dev/null
end
function __meshctl_is
    # Whether the command on the line so far is this one; "" asks whether there is none yet.
    set -l skip 0
    for word in (commandline -opc)[2..]
        if test $skip = 1
            set skip 0
            continue
        end
        switch $word
            case @VALUED@
                set skip 1
            case '-*'
            case '*'
                test $word = "$argv[1]"
                return
        end
    end
    test -z "$argv[1]"
end
complete -c meshctl -f
"""


def fish(whole: Words) -> str:
    """Return the script for fish."""
    valued = " ".join(name for each in whole.options if each.value for name in each.names)
    none_yet = '__meshctl_is ""'
    lines = [_fish(none_yet, each) for each in whole.options]
    for command in whole.commands:
        this = f"__meshctl_is {_word(command)}"
        lines.append(f"complete -c meshctl -n '{none_yet}' -a {_word(command)} -d {_fish_text(command.about)}")
        lines += [_fish(this, each) for each in command.options]
        lines += [f"complete -c meshctl -n '{this}' {values}" for values in _fish_arguments(command)]
    return _FISH.replace("@VALUED@", valued) + "\n".join(lines) + "\n"


def _fish(condition: str, option: Option) -> str:
    names = " ".join(f"-l {name[2:]}" if name.startswith("--") else f"-s {name[1:]}" for name in option.names)
    line = f"complete -c meshctl -n '{condition}' {names}"
    if option.choices:
        line += f" -x -a '{' '.join(option.choices)}'"
    elif option.value:
        line += " -r -F" if _of_files(option) else " -x"
    return f"{line} -d {_fish_text(option.about)}"


def _fish_arguments(command: Words) -> Sequence[str]:
    if command.rest:
        return ["-a '(__fish_complete_subcommand --fcs-skip=2)'"]
    return [
        f"-a '{' '.join(each.choices)}'" if each.choices else f"-a '(__meshctl_names {asked})'" if asked else "-F"
        for each in command.arguments
        for asked in (_asked(each),)
        if each.choices or asked or _of_files(each)
    ]


def _fish_text(text: str) -> str:
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"
