"""What a command ends with: 0 as expected, 1 a violation or a difference, 2 wrong use."""

from __future__ import annotations

from collections.abc import Iterable

from kafsim.protocol.names import did_you_mean

EXPECTED = 0
VIOLATION = 1
WRONG_USE = 2
INTERRUPTED = 130
CLOSED_PIPE = 141
"""Whoever read the output has gone away; what a shell says of a program that died of SIGPIPE."""


class UsageError(Exception):
    """Wrong use; the message is the one line that is printed."""


class StoryFailed(Exception):
    """A story raised an error of its own; the message names its line."""


def unknown(kind: str, name: str, known: Iterable[str]) -> UsageError:
    """Names the nearest known name, or all when there are few."""
    names = sorted(known)
    near = did_you_mean(name, names)
    if near is not None:
        return UsageError(f"unknown {kind} {name!r}; {near}")
    if len(names) <= 12:
        return UsageError(f"unknown {kind} {name!r}; there are: {', '.join(names)}")
    return UsageError(f"unknown {kind} {name!r}")
