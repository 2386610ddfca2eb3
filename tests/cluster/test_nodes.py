"""Connections, kills, pauses, cuts and power failures, as two cores see them; in both dispatches."""

from __future__ import annotations

import pytest

from kafsim.cluster.errors import ClientKilled, CoreFailed
from kafsim.cluster.world import run
from kafsim.protocol.types import SECOND, millis
from tests.cluster.kit import A, B, Two


@pytest.fixture(params=["channel", "direct"])
def dispatch(request):
    return request.param


def play(two: Two, story) -> None:
    async def whole(world):
        two.start()
        await story(world)

    run(two.world, whole)


def test_a_message_and_its_answer_take_one_latency_each(dispatch):
    two = Two(dispatch=dispatch)

    async def story(world):
        two.send("echo 1")
        await world.advance(SECOND)

    play(two, story)
    assert two.b_notes == [(0, "start", 1), (100, "message", "echo 1")]
    assert two.a_notes[2:] == [(200, "message", "re:echo 1")]


@pytest.mark.parametrize("seed", range(5))
def test_a_connection_keeps_its_order_whatever_the_latency(seed, dispatch):
    two = Two(spread=100_000, seed=seed, dispatch=dispatch)

    async def story(world):
        for n in range(20):
            two.send(f"{n}")
            await world.advance(millis(3))
        await world.advance(SECOND)

    play(two, story)
    assert two.texts(two.b_notes) == [f"{n}" for n in range(20)]
    times = [note[0] for note in two.b_notes]
    assert times == sorted(times)


def test_a_kill_breaks_connections_after_one_latency_and_what_was_sent_before_arrives(dispatch):
    two = Two(dispatch=dispatch)

    async def story(world):
        two.send("echo 1")
        await world.advance(150)
        two.b.kill()
        await world.advance(SECOND)
        two.send("lost")
        await world.advance(SECOND)
        two.b.start()
        await world.advance(SECOND)

    play(two, story)
    assert two.a_notes[2:4] == [(200, "message", "re:echo 1"), (250, "disconnect")]
    assert two.texts(two.b_notes) == ["echo 1"]
    assert [note[1:] for note in two.b_notes if note[1] == "start"] == [("start", 1), ("start", 2)]


def test_connecting_to_a_node_that_is_down_is_refused(dispatch):
    two = Two(dispatch=dispatch)

    async def story(world):
        two.b.kill()
        two.send("hello")
        await world.advance(SECOND)

    play(two, story)
    assert two.a_notes[-1] == (200, "disconnect")


def test_a_machine_without_power_says_nothing_until_it_is_back(dispatch):
    two = Two(dispatch=dispatch)

    async def story(world):
        two.send("one")
        await world.advance(SECOND)
        two.b.power_failure()
        two.send("two")
        await world.advance(SECOND)
        assert two.a_notes[-1][1] == "call"
        two.b.start()
        await world.advance(SECOND)

    play(two, story)
    assert two.a_notes[-1] == (2 * SECOND + 100, "disconnect")
    assert two.texts(two.b_notes) == ["one"]


def test_a_paused_node_handles_what_gathered_in_the_order_in_which_it_came_or_was_due(dispatch):
    two = Two(dispatch=dispatch)

    async def story(world):
        two.act(two.b, lambda core, now, call: core.outbox.set_timer("t", millis(500)))
        two.send("open")
        await world.advance(millis(100))
        two.b.pause()
        await world.advance(millis(300))
        two.send("before the timer")
        await world.advance(millis(300))
        two.send("after the timer")
        await world.advance(millis(100))
        two.b.resume()
        two.send("after the pause")
        await world.advance(SECOND)

    play(two, story)
    assert [note[1:] for note in two.b_notes[3:]] == [
        ("message", "before the timer"),
        ("timer", "t"),
        ("message", "after the timer"),
        ("message", "after the pause"),
    ]
    assert {note[0] for note in two.b_notes[3:6]} == {millis(800)}


def test_a_timer_cancelled_by_something_before_it_does_not_fire_after_a_pause(dispatch):
    two = Two(dispatch=dispatch)

    async def story(world):
        two.act(two.b, lambda core, now, call: core.outbox.set_timer("t", millis(500)))
        await world.advance(millis(100))
        two.b.pause()
        two.act(two.b, lambda core, now, call: core.outbox.cancel_timer("t"))
        await world.advance(SECOND)
        two.b.resume()
        await world.advance(SECOND)

    play(two, story)
    assert "timer" not in {note[1] for note in two.b_notes}


def test_a_cut_holds_what_arrives_and_lets_it_through_in_order(dispatch):
    two = Two(spread=50_000, dispatch=dispatch)

    async def story(world):
        two.send("0")
        await world.advance(SECOND)
        world.cut(A, B)
        for n in range(1, 6):
            two.send(f"{n}")
        await world.advance(SECOND)
        assert two.texts(two.b_notes) == ["0"]
        two.send("6")
        await world.advance(60)
        world.heal(A, B)
        two.send("7")
        await world.advance(SECOND)

    play(two, story)
    assert two.texts(two.b_notes) == [f"{n}" for n in range(8)]


def test_a_cut_is_one_way(dispatch):
    two = Two(dispatch=dispatch)

    async def story(world):
        two.send("0")
        await world.advance(SECOND)
        world.cut(B, A)
        two.send("echo 1")
        await world.advance(SECOND)

    play(two, story)
    assert two.texts(two.b_notes) == ["0", "echo 1"]
    assert two.texts(two.a_notes) == []


def test_what_a_cut_holds_is_lost_when_a_side_closes(dispatch):
    two = Two(dispatch=dispatch)

    async def story(world):
        two.send("0")
        await world.advance(SECOND)
        world.cut(A, B)
        two.send("1")
        await world.advance(SECOND)
        two.act(two.a, lambda core, now, call: core.outbox.close(two.connection))
        await world.advance(SECOND)
        world.heal(A, B)
        await world.advance(SECOND)

    play(two, story)
    assert two.texts(two.b_notes) == ["0"]
    assert two.b_notes[-1][1] == "disconnect"


def test_a_dead_incarnation_is_not_heard(dispatch):
    two = Two(dispatch=dispatch)

    async def story(world):
        two.act(two.b, lambda core, now, call: core.outbox.set_timer("old", millis(500)))
        await world.advance(millis(100))
        two.b.kill()
        two.b.start()
        await world.advance(SECOND)

    play(two, story)
    assert "timer" not in {note[1] for note in two.b_notes}


def test_a_timer_set_again_replaces_the_earlier_one(dispatch):
    two = Two(dispatch=dispatch)

    def twice(core, now, call):
        core.outbox.set_timer("t", millis(5))
        core.outbox.set_timer("t", millis(9))

    async def story(world):
        two.act(two.b, twice)
        await world.advance(SECOND)

    play(two, story)
    assert [note for note in two.b_notes if note[1] == "timer"] == [(millis(9), "timer", "t")]


def test_a_slow_disk_delays_the_answer_and_later_work_on_the_same_connection_only(dispatch):
    two = Two(dispatch=dispatch)

    def slow(core, now, connection, header, body):
        core.note(now, "message", body.text)
        if body.text == "write":
            core.given.files.create("log-0/x").append(b"data")
        core.outbox.reply(connection, header, body)

    async def story(world):
        two.b.slow_disk(append_us=7_000, flush_us=0)
        core = two.b.port.core
        core.on_message = lambda *args: slow(core, *args)
        two.send("write", "read")
        await world.advance(SECOND)

    play(two, story)
    assert [note for note in two.a_notes if note[1] == "message"] == [
        (7_200, "message", "write"),
        (7_200, "message", "read"),
    ]
    assert [note[0] for note in two.b_notes[1:]] == [100, 100]


def test_flush_is_answered_when_it_is_done_and_not_after_a_kill(dispatch):
    two = Two(dispatch=dispatch)

    def flush(core, now, call):
        core.outbox.flush(core.given.files.create("f"), "key")

    async def story(world):
        two.act(two.b, flush)
        await world.advance(SECOND)
        two.act(two.b, flush)
        await world.advance(10)
        two.b.kill()
        two.b.start()
        await world.advance(SECOND)

    play(two, story)
    assert [note for note in two.b_notes if note[1] == "flushed"] == [(1_000, "flushed", "key")]


def test_calls_are_answered_by_events_and_fail_when_the_client_dies(dispatch):
    two = Two(dispatch=dispatch)

    async def story(world):
        answered = world.call(two.a, lambda core, now, call: core.outbox.answer_call(call, 42), "a number")
        assert await answered.wait() == 42
        raised = world.call(two.a, lambda core, now, call: core.outbox.answer_call(call, KeyError("x")), "an error")
        with pytest.raises(KeyError):
            await raised.wait()
        never = world.call(two.a, lambda core, now, call: None, "nothing")
        await world.advance(SECOND)
        two.a.kill()
        with pytest.raises(ClientKilled, match="a-1 was killed"):
            await never.wait()
        with pytest.raises(ClientKilled, match="a-1 is not running"):
            await world.call(two.a, None, "more").wait()

    play(two, story)


def test_a_core_that_fails_ends_the_run_and_is_named_with_its_last_facts(dispatch):
    two = Two(dispatch=dispatch, listeners=(Hears(),))

    def fail(core, now, call):
        raise AssertionError("two leaders")

    async def story(world):
        two.act(two.b, fail)
        await world.advance(SECOND)

    with pytest.raises(CoreFailed, match=r"b-1 failed: AssertionError: two leaders(.|\n)*NodeStarted"):
        play(two, story)


class Hears:
    level = 3

    def on_fact(self, stated):
        pass


def test_until_is_woken_by_the_event_that_made_it_true(dispatch):
    two = Two(dispatch=dispatch)

    async def story(world):
        two.send("echo 1")
        await world.until(lambda: two.texts(two.a_notes), "the answer")
        assert world.clock.now == 200

    play(two, story)


def test_an_operation_of_a_plan_is_an_event(dispatch):
    two = Two(dispatch=dispatch)

    async def story(world):
        world.at(millis(10), two.b.kill, "kill b")
        world.at(millis(20), two.b.start, "start b")
        await world.advance(SECOND)

    play(two, story)
    assert two.b_notes == [(0, "start", 1), (millis(20), "start", 2)]
