"""``kafsim why``: what led to a fact, and what it led to."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from kafsim.cli.errors import UsageError

if TYPE_CHECKING:
    from kafsim.cluster.trace import Trace


def open_trace(path: Path) -> Trace:
    """Read a trace, or say in one line why not."""
    from kafsim.cluster.trace import TraceError, load  # noqa: PLC0415

    try:
        trace = load(path)
    except OSError as error:
        raise UsageError(f"cannot read {path}: {error.strerror}") from None
    except TraceError as error:
        raise UsageError(str(error)) from None
    if not trace.is_whole:
        print(f"kafsim: {path} breaks off after {len(trace.facts)} facts", file=sys.stderr)
    return trace


def why(trace: Path, index: int | None = None, /, *, depth: int = 12) -> None:
    """Tell the chain of causes of one fact of a trace, and what came of it; without a number, list the decisions.

    Parameters
    ----------
    trace
        A file that `kafsim run --trace` wrote.
    index
        The number of a fact in it, from 0; negative numbers count from the end. Left out: all decisions, numbered.
    depth
        How many events to go back at most.
    """
    from kafsim.cluster.causes import explain  # noqa: PLC0415

    read = open_trace(trace)
    if depth < 1:
        raise UsageError(f"--depth must be at least 1, not {depth}")
    if index is None:
        _list_decisions(read)
        return
    if not -len(read.facts) <= index < len(read.facts):
        raise UsageError(f"{trace} has {len(read.facts)} facts, there is no fact {index}")
    for line in explain(read, read.facts[index], depth):
        print(line)


def _list_decisions(trace: Trace) -> None:
    from kafsim.protocol.facts.fact import DECISION, describe, level_of, reason  # noqa: PLC0415

    for number, stated in enumerate(trace.facts):
        if level_of[type(stated.fact)] == DECISION:
            why = reason(stated.fact)
            print(f"{number:6}  {stated.time / 1e6:11.6f}  {stated.node!s:14}  {describe(stated.fact)}")
            if why:
                print(f"{'':37}because {why}")
