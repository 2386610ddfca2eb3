"""How a task of a story waits: parked until one entry of the heap wakes it, or its deadline does.

A cluster heartbeats for ever, so "nothing can happen" never comes; every wait therefore has a deadline in virtual time.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

import outcome
import trio

from kafsim.cluster.errors import Stuck
from kafsim.protocol.types import Micros

if TYPE_CHECKING:
    from kafsim.cluster.world import World

WITHIN = Micros(120_000_000)
"""How long a wait lasts at most unless it is told otherwise."""


class Parking:
    """One task that waits for one thing, named by ``what``."""

    def __init__(self, world: World, what: str) -> None:
        self._world = world
        self._what = what
        self._task: trio.lowlevel.Task | None = None
        self._result: Callable[[], outcome.Outcome[Any]] | None = None
        """Makes the outcome: one serves once, and an answer may be awaited again."""

    @property
    def done(self) -> bool:
        return self._result is not None

    @property
    def error(self) -> BaseException | None:
        """What it failed with."""
        found = None if self._result is None else self._result()
        return found.error if isinstance(found, outcome.Error) else None

    async def wait(self, within: Micros | None = WITHIN) -> Any:
        """The value that :meth:`wake` is given; Stuck past the deadline (None: no deadline)."""
        if self._result is not None:
            await trio.lowlevel.checkpoint()
            return self._result().unwrap()
        clock = self._world.clock
        if within is not None:
            clock.push(clock.now + within, 0, self._expire, clock.now)
        self._task = trio.lowlevel.current_task()
        clock.waiters += 1
        return await trio.lowlevel.wait_task_rescheduled(self._abort)

    def wake(self, value: Any = None) -> bool:
        return self._finish(partial(outcome.Value, value))

    def fail(self, error: BaseException) -> bool:
        return self._finish(partial(outcome.Error, error))

    def _finish(self, result: Callable[[], outcome.Outcome[Any]]) -> bool:
        if self._result is not None:
            return False
        self._result = result
        if self._task is None:
            return False
        task, self._task = self._task, None
        self._world.clock.waiters -= 1
        trio.lowlevel.reschedule(task, result())
        return True

    def _expire(self, since: Micros) -> bool:
        if self._task is None:
            return False
        waited = (self._world.clock.now - since) / 1e6
        return self.fail(Stuck(self._world.explain(f"task {self._task.name!r} waited {waited:g} s for {self._what}")))

    def _abort(self, _: Callable[[], None]) -> trio.lowlevel.Abort:
        if self._task is not None:
            self._task = None
            self._world.clock.waiters -= 1
        return trio.lowlevel.Abort.SUCCEEDED


class Call:
    """A question that a handle asks of a client's core; the answer is an event."""

    def __init__(self, world: World, what: str) -> None:
        self.parking = Parking(world, what)

    @property
    def error(self) -> BaseException | None:
        return self.parking.error

    async def wait(self, within: Micros | None = WITHIN) -> Any:
        return await self.parking.wait(within)

    def resolve(self, answer: Any) -> bool:
        return self.parking.fail(answer) if isinstance(answer, BaseException) else self.parking.wake(answer)
