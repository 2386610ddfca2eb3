"""``kafsim compare``: histories of a real Apache Kafka against a simulated cluster."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from kafsim.cli.errors import EXPECTED, VIOLATION, UsageError

if TYPE_CHECKING:
    from kafsim.scenarios.comparison import Comparison


def compare(
    history: Path, /, *more: Path, seed: int = 0, as_json: Annotated[bool, Parameter("--json", negative="")] = False
) -> int:
    """Replay recorded histories and print every difference to what the real cluster showed.

    State, error codes and the order in each partition are compared, timings never. A history with a step that is
    not built is reported as unsupported, by name, and compared up to that step. Exit code 1 on a difference.

    Parameters
    ----------
    history
        A history file in JSON.
    more
        Further ones.
    seed
        Of the simulated cluster.
    as_json
        Print one object for each history.
    """
    from kafsim.scenarios import recorded  # noqa: PLC0415

    try:
        histories = [recorded.read(path) for path in (history, *more)]
    except OSError as error:
        raise UsageError(f"cannot read {error.filename}: {error.strerror}") from None
    except recorded.HistoryError as error:
        raise UsageError(str(error)) from None
    compared = []
    for one in histories:
        comparison = recorded.compare(one, seed=seed)
        compared.append(comparison)
        print(json.dumps(_object(comparison)) if as_json else _text(comparison), flush=True)
    if not as_json and len(compared) > 1:
        print(_totals(compared))
    return VIOLATION if any(one.differences for one in compared) else EXPECTED


def _text(one: Comparison) -> str:
    checked = f"{one.checked} field{'s' * (one.checked != 1)} checked in {one.steps} steps"
    if one.differences:
        lines = [f"DIFFERS      {one.name}: {len(one.differences)} of {checked}"]
        return "\n".join([*lines, *(f"    {difference}" for difference in one.differences)])
    if one.unsupported is not None:
        return f"unsupported  {one.name}: {one.unsupported}; {checked} before it"
    return f"agrees       {one.name}: {checked}"


def _totals(compared: list[Comparison]) -> str:
    differ = sum(bool(one.differences) for one in compared)
    unsupported = sum(not one.differences and one.unsupported is not None for one in compared)
    return f"{len(compared) - differ - unsupported} agree, {differ} differ, {unsupported} are unsupported"


def _object(one: Comparison) -> dict[str, object]:
    return {
        "history": one.name,
        "agrees": not one.differences and one.unsupported is None,
        "unsupported": one.unsupported,
        "steps": one.steps,
        "checked": one.checked,
        "differences": [
            {"step": d.step, "what": d.what, "field": d.field, "kafsim": d.ours, "kafka": d.kafka}
            for d in one.differences
        ],
    }
