"""Virtual time moves only by the heap and by trio's own deadlines."""

from __future__ import annotations

import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st

from kafsim.cluster.clock import SimClock, ticks
from kafsim.cluster.errors import Livelock, Stuck
from kafsim.cluster.world import Shape, World, run
from kafsim.protocol.types import SECOND


@given(st.floats(min_value=0, max_value=1e9))
def test_a_deadline_is_never_before_its_float(deadline):
    assert ticks(deadline) / 1e6 >= deadline
    assert (ticks(deadline) - 2) / 1e6 < deadline


def fired(world: World, pushes) -> list:
    seen: list = []
    for time, source, name in pushes:
        world.clock.push(time, source, seen.append, name)

    async def story(world):
        await world.advance(SECOND)

    run(world, story)
    return seen


def test_entries_of_one_source_keep_their_order_and_sources_interleave_by_seed():
    pushes = [(5, source, (source, n)) for n in range(4) for source in (10, 20, 30)]
    orders = {tuple(fired(World(Shape(seed=seed)), pushes)) for seed in range(20)}
    for order in orders:
        for source in (10, 20, 30):
            assert [n for s, n in order if s == source] == [0, 1, 2, 3]
    assert len(orders) > 3


def test_time_is_the_time_of_the_entry_and_trio_sees_it():
    world = World(Shape())
    times = []

    async def story(world):
        world.clock.push(250_000, 1, lambda _: times.append(world.clock.now))
        await trio.sleep(0.5)
        times.append(world.clock.now)
        times.append(trio.current_time())

    run(world, story)
    assert times == [250_000, 500_000, 0.5]


def test_a_story_that_waits_for_nothing_that_can_happen_is_stuck_at_once():
    async def story(world):
        await trio.Event().wait()

    with pytest.raises(Stuck, match="no task of the story waits"):
        run(World(Shape()), story)


def test_a_wait_ends_at_its_deadline_and_names_what_it_waited_for():
    async def story(world):
        await world.until(lambda: False, "rain", within=3 * SECOND)

    with pytest.raises(Stuck, match=r"waited 3 s for rain \(at 3\.000000 s"):
        run(World(Shape()), story)


def test_events_without_time_moving_are_a_livelock():
    async def story(world):
        world.clock.livelock_limit = 1_000

        def again(_):
            world.clock.push(world.clock.now, 1, again)

        again(None)
        await world.advance(SECOND)

    with pytest.raises(Livelock):
        run(World(Shape()), story)


def test_a_task_that_spins_is_a_livelock():
    async def story(world):
        world.clock.livelock_limit = 1_000
        while True:
            await trio.lowlevel.checkpoint()

    with pytest.raises(Livelock):
        run(World(Shape()), story)


def test_an_error_in_an_entry_ends_the_run_with_that_error():
    async def story(world):
        world.clock.push(1, 1, lambda _: 1 / 0)
        await world.advance(SECOND)

    with pytest.raises(ZeroDivisionError):
        run(World(Shape()), story)


def test_tasks_of_a_story_that_meet_in_an_instant_come_in_an_order_the_seed_repeats():
    def order(seed):
        seen = []

        async def one(name):
            await trio.sleep(1)
            seen.append(name)

        async def story(world):
            async with trio.open_nursery() as nursery:
                for name in range(8):
                    nursery.start_soon(one, name)

        run(World(Shape(seed=seed)), story)
        return tuple(seen)

    assert [order(seed) for seed in range(10)] == [order(seed) for seed in range(10)]
    assert len({order(seed) for seed in range(10)}) > 1


def test_nothing_waits_and_nothing_is_due():
    clock = SimClock()
    clock.waiters = 1
    with pytest.raises(Stuck, match="nothing can happen"):
        clock.deadline_to_sleep_time(float("inf"))
