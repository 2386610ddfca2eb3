"""``python -m bench [--rounds N] [--only WORD] [--json FILE]``."""

from __future__ import annotations

import argparse
import json
import platform
from pathlib import Path

from bench import cluster, groups, kernel
from bench.measure import measure


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", default="", help="cases whose name has this word")
    parser.add_argument("--json", type=Path, default=Path("bench.json"))
    options = parser.parse_args()
    cases = [case for case in [*kernel.cases(), *cluster.cases(), *groups.cases()] if options.only in case.name]
    results = measure(cases, options.rounds)
    width = max(len(result.name) for result in results)
    for result in results:
        figures = "  ".join(f"{value:,.1f} {name}" for name, value in result.figures.items())
        print(f"{result.name:{width}}  {result.cpu_seconds:7.3f} s  {figures}")
    machine = {"python": platform.python_version(), "machine": platform.machine()}
    rows = [{"case": r.name, "cpu_seconds": r.cpu_seconds, **r.figures} for r in results]
    options.json.write_text(
        json.dumps({"machine": machine, "rounds": options.rounds, "results": rows}, indent=1) + "\n"
    )


if __name__ == "__main__":
    main()
