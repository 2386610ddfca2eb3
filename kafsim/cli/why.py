"""``kafsim why``: what led to a fact, and what it led to."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from kafsim.cli.errors import UsageError

if TYPE_CHECKING:
    from kafsim.cluster.trace import Trace


def open_trace(path: Path) -> Trace:
    """Read a trace, or say in one line why not."""
    from kafsim.cluster.trace import TraceError, load  # noqa: PLC0415

    try:
        return load(path)
    except OSError as error:
        raise UsageError(f"cannot read {path}: {error.strerror}") from None
    except TraceError as error:
        raise UsageError(str(error)) from None


def why(trace: Path, index: int, /, *, depth: int = 12) -> None:
    """Tell the chain of causes of one fact of a trace, and what came of it.

    Parameters
    ----------
    trace
        A file that `kafsim run --trace` wrote.
    index
        The number of a fact in it, from 0; negative numbers count from the end.
    depth
        How many events to go back at most.
    """
    from kafsim.cluster.causes import explain  # noqa: PLC0415

    read = open_trace(trace)
    if not -len(read.facts) <= index < len(read.facts):
        raise UsageError(f"{trace} has {len(read.facts)} facts, there is no fact {index}")
    for line in explain(read, read.facts[index], depth):
        print(line)
