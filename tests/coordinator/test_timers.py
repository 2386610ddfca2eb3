"""Timers by key against a model that looks at all of them."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from kafsim.coordinator.timers import KeyedTimers
from kafsim.protocol import effects as ef
from kafsim.protocol.effects import Outbox
from kafsim.protocol.types import Micros


@given(
    st.lists(
        st.tuples(st.sampled_from(("set", "cancel", "go")), st.sampled_from("abc"), st.integers(1, 9)), max_size=30
    )
)
def test_each_fires_when_it_was_set_for_last(steps: list[tuple[str, str, int]]) -> None:
    outbox = Outbox()
    timers = KeyedTimers(outbox, "key")
    fired: list[tuple[int, str]] = []
    expected: list[tuple[int, str]] = []
    model: dict[str, int] = {}
    now, armed = 0, None

    def take_effects() -> None:
        nonlocal armed
        for effect in outbox.effects:
            armed = effect[2] if effect[0] == ef.SET_TIMER else None
        outbox.effects.clear()

    for what, key, number in steps:
        if what == "set":
            model[key] = now + number
            timers.set(key, Micros(now + number), lambda at, key=key: fired.append((at, key)))
        elif what == "cancel":
            model.pop(key, None)
            timers.cancel(key)
        else:
            for at in range(now, now + number + 1):
                take_effects()
                if armed is not None and armed <= at:
                    armed = None
                    timers.on_timer(Micros(at))
                due = [key for key, when in model.items() if when <= at]
                expected += [(at, key) for key in due]
                for one in due:
                    del model[one]
            now += number
        take_effects()
        assert sorted(fired) == sorted(expected)


def test_a_timer_that_is_set_again_and_again_costs_no_entry_each() -> None:
    timers = KeyedTimers(Outbox(), "key")
    for at in range(1, 10_000):
        timers.set("session", Micros(at), lambda _: None)
    assert len(timers._heap) == 1
