"""From what a configuration says of the calls that a route is for to conditions that can be compiled."""

from __future__ import annotations

from typing import TYPE_CHECKING, Mapping, Optional, Sequence, Union

from twisted_mesh.policy.match import Conditions
from twisted_mesh.policy.rewrite import Change, replace_path, replace_prefix
from twisted_mesh.policy.values import Check, compile_check

if TYPE_CHECKING:
    from twisted_mesh import model


def is_for(listener: str, match: model.Match) -> bool:
    """Whether a route is for a listener at all; known once and for all, so that no call pays for it."""
    return not match.listener or listener in match.listener


def conditions(match: model.Match) -> Conditions:
    """Return what a match asks of a call."""
    path, key = match.path, match.key
    return Conditions(
        match.host,
        None if path is None else path.exact,
        None if path is None else path.prefix,
        None if path is None else path.template,
        None if path is None else path.regex,
        (*match.method, *_operations(match.command)),
        _checks(match.header),
        _checks(match.query),
        _checks(match.cookie),
        match.source,
        match.identity,
        match.percent,
        None if key is None else key.exact,
        None if key is None else key.prefix,
        None if key is None else key.pattern,
        None if key is None else key.regex,
        match.port,
    )


def _operations(commands: Sequence[str]) -> Sequence[str]:
    if not commands:
        return ()
    # Only where it is asked for: a start without it need not read the table.
    from twisted_mesh.codec.command_classes import operations

    return operations(commands)


def _checks(values: Mapping[str, model.TextMatch]) -> Mapping[str, Check]:
    return {
        name: compile_check(
            exact=each.exact,
            prefix=each.prefix,
            suffix=each.suffix,
            contains=each.contains,
            regex=each.regex,
            present=each.present is not False,
            invert=each.invert,
        )
        for name, each in values.items()
    }


def path_change(match: model.Match, to: Union[model.Redirect, model.Rewrite]) -> Optional[Change]:
    """Return what a redirect or a rewrite makes of the paths that match; None where they stay."""
    if to.path is not None:
        return replace_path(to.path, None if match.path is None else match.path.template)
    if to.prefix is None:
        return None
    assert match.path is not None
    assert match.path.prefix is not None
    return replace_prefix(match.path.prefix, to.prefix)
