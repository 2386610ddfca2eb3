"""``kafsim scenarios``: what there is to run."""

from __future__ import annotations

import json
from typing import Annotated

from cyclopts import Parameter


def scenarios(*, as_json: Annotated[bool, Parameter("--json", negative="")] = False) -> None:
    """List the scenarios that `kafsim run` knows by name.

    Parameters
    ----------
    as_json
        Print a list of objects with `name` and `summary`.
    """
    from kafsim.scenarios.catalogue import summaries  # noqa: PLC0415

    known = summaries()
    if as_json:
        print(json.dumps([{"name": name, "summary": summary} for name, summary in known.items()], indent=2))
        return
    width = max(map(len, known))
    for name, summary in known.items():
        print(f"{name:{width}}  {summary}")
