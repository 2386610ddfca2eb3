"""Faults aimed at facts: something is done as the next event after a fact was stated, at the worst moment for somebody.

"Kill the broker that has just become leader" finds in one run what a kill at a time finds in thousands.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from kafsim.protocol.facts.fact import STATE, level_of

if TYPE_CHECKING:
    from kafsim.cluster.world import Stated, World

Act = Callable[["Stated"], object]


def fact_names() -> list[str]:
    """Those that can be aimed at: decisions and states."""
    return sorted(cls.__name__ for cls, level in level_of.items() if level <= STATE)


class FactTrigger:
    """Waits for the ``nth`` fact of a name that ``where`` takes; then ``act`` is told it, once."""

    level = STATE

    def __init__(
        self, world: World, fact: str, act: Act, nth: int = 1, where: Callable[[Stated], bool] = lambda _: True
    ) -> None:
        self._world = world
        self._fact = fact
        self._act = act
        self._left = nth
        self._where = where

    def on_fact(self, stated: Stated) -> None:
        if self._left <= 0 or type(stated.fact).__name__ != self._fact or not self._where(stated):
            return
        self._left -= 1
        if not self._left:
            self._world.at(self._world.clock.now, lambda: self._act(stated), f"after {self._fact}")

    def disarm(self) -> None:
        self._left = 0
