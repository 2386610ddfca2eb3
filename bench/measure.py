"""CPU time of one case, the median of several rounds; rounds of all cases interleave, so that drift hits all alike."""

from __future__ import annotations

import gc
import statistics
import time
from collections.abc import Callable
from typing import NamedTuple


class Case(NamedTuple):
    name: str
    run: Callable[[], dict[str, float]]
    """Runs once; what it returns (messages, virtual seconds, seeds, ...) is divided by the CPU seconds it took."""
    figures: Callable[[dict[str, float], float], dict[str, float]]


class Measured(NamedTuple):
    name: str
    cpu_seconds: float
    figures: dict[str, float]


def measure(cases: list[Case], rounds: int) -> list[Measured]:
    times: dict[str, list[float]] = {case.name: [] for case in cases}
    counts: dict[str, dict[str, float]] = {}
    for _ in range(rounds):
        for case in cases:
            gc.collect()
            begin = time.process_time()
            counts[case.name] = case.run()
            times[case.name].append(time.process_time() - begin)
    results = []
    for case in cases:
        cpu = statistics.median(times[case.name])
        results.append(Measured(case.name, cpu, case.figures(counts[case.name], cpu)))
    return results
