"""``kafsim describe``, ``log`` and ``check``: what a trace holds."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from kafsim.cli.errors import EXPECTED, VIOLATION, UsageError
from kafsim.cli.why import open_trace

if TYPE_CHECKING:
    from kafsim.cluster.inspect import View


def describe(trace: Path, index: int | None = None, /) -> None:
    """Print the topics of a recorded run in the columns of kafka-topics --describe.

    Parameters
    ----------
    trace
        A file that `kafsim run --trace` wrote.
    index
        As it was after this fact; at the end by default.
    """
    lines = list(_view(trace, index).describe())
    print("\n".join(lines) if lines else "there is no topic")


def log(trace: Path, node: str, index: int | None = None, /) -> None:
    """Print the logs of one broker in a recorded run, batch by batch.

    Parameters
    ----------
    trace
        A file that `kafsim run --trace` wrote.
    node
        A broker: 1 or broker-1.
    index
        As it was after this fact; at the end by default.
    """
    view = _view(trace, index)
    name = f"broker-{node}" if node.isdigit() else node
    if name not in view.nodes_with_logs():
        known = ", ".join(view.nodes_with_logs()) or "nobody"
        raise UsageError(f"{node} has no logs in {trace}; {known} has")
    print("\n".join(view.log(name)))


def check(trace: Path, /) -> int:
    """Check every invariant of replication on a recorded run; exit code 1 on a violation.

    Parameters
    ----------
    trace
        A file that `kafsim run --trace` wrote.
    """
    from kafsim.cluster import inspect  # noqa: PLC0415
    from kafsim.cluster.invariants import INVARIANTS  # noqa: PLC0415

    read = open_trace(trace)
    violations = inspect.check(read)
    for violation in violations:
        print(violation)
    if not violations:
        print(f"{len(INVARIANTS)} invariants hold over {len(read.facts)} facts")
    return VIOLATION if violations else EXPECTED


def _view(path: Path, index: int | None) -> View:
    from kafsim.cluster.inspect import View  # noqa: PLC0415

    trace = open_trace(path)
    if index is not None and not -len(trace.facts) <= index < len(trace.facts):
        raise UsageError(f"{path} has {len(trace.facts)} facts, there is no fact {index}")
    return View(trace, None if index is None else index % len(trace.facts))
