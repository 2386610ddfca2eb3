"""Nothing of the real world leaks into a run unnoticed."""

from __future__ import annotations

import os
import random
import socket
import threading
import time
import uuid

import pytest
import trio

from kafsim.cluster.errors import Nondeterminism
from kafsim.cluster.scheduling import make_deterministic
from kafsim.cluster.world import Shape, World, run
from kafsim.protocol.types import SECOND
from tests.cluster.kit import Two

LEAKS = {
    "time": lambda: time.time(),
    "monotonic": lambda: time.monotonic(),
    "random": lambda: random.random(),
    "urandom": lambda: os.urandom(4),
    "uuid4": lambda: uuid.uuid4(),
    "socket": lambda: socket.socket(),
    "thread": lambda: threading.Thread(target=print).start(),
}


@pytest.mark.parametrize("leak", LEAKS.values(), ids=LEAKS)
def test_a_story_that_asks_the_real_world_is_stopped(leak):
    async def story(world):
        leak()

    with pytest.raises(Nondeterminism, match="used inside the simulation"):
        run(World(Shape()), story)


def test_a_core_that_asks_the_real_world_is_stopped():
    two = Two()

    async def story(world):
        two.start()
        two.act(two.b, lambda core, now, call: time.time())
        await world.advance(SECOND)

    with pytest.raises(Nondeterminism):
        run(two.world, story)


def test_between_events_and_after_the_run_the_real_world_is_there():
    async def story(world):
        with world.guard.outside():
            assert time.time() > 0
        return "done"

    assert run(World(Shape()), story) == "done"
    assert time.time() > 0
    assert uuid.uuid4().version == 4


def test_a_trio_whose_inside_has_moved_is_refused(monkeypatch):
    monkeypatch.delattr(trio._core._run, "_r")
    with pytest.raises(RuntimeError, match="schedules in a way"):
        make_deterministic(1)
