"""The one touch of trio's inside: the order of tasks that become runnable together.

Actors never depend on it, since one event wakes one task. A story may start tasks of its own that meet in an instant;
for those the scheduler's shuffle is seeded. There is no public interface for this (trio issues 2675 and 3371).
"""

from __future__ import annotations

import random
from typing import Any

import trio


def make_deterministic(seed: int) -> None:
    """Seed trio's scheduler; RuntimeError when trio keeps its chance somewhere else than this was written for."""
    run: Any = getattr(getattr(trio, "_core", None), "_run", None)
    chance = getattr(run, "_r", None)
    if not isinstance(chance, random.Random) or not hasattr(run, "_ALLOW_DETERMINISTIC_SCHEDULING"):
        raise RuntimeError(f"trio {trio.__version__} schedules in a way that kafsim does not know how to repeat")
    run._ALLOW_DETERMINISTIC_SCHEDULING = True
    chance.seed(seed)
