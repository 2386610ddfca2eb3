"""Walks the causes of a recorded fact, backward and forward."""

from __future__ import annotations

from collections.abc import Iterator

from kafsim.cluster.trace import Fact, Trace
from kafsim.protocol.facts.fact import CHATTER, describe, level_of, reason
from kafsim.protocol.types import EventNumber


def explain(trace: Trace, fact: Fact, depth: int) -> Iterator[str]:
    """Lines for a reader: the fact, its reason, what led to it, what came of it."""
    yield line(fact)
    for number, cause in enumerate(fact.causes):
        yield "led to by:" if number == 0 else "and by what was kept from:"
        yield from _backward(trace, cause, depth)
    later = list(_forward(trace, fact, depth))
    if later:
        yield "led to:"
        yield from later


def line(fact: Fact) -> str:
    why = reason(fact.fact)
    return f"#{fact.index} {fact.time / 1e6:.6f} {fact.node} {describe(fact.fact)}" + (f" because {why}" if why else "")


def _backward(trace: Trace, event: EventNumber, depth: int) -> Iterator[str]:
    for _ in range(depth):
        known = trace.events.get(event)
        if known is None:
            yield f"  event {event}: the story" if event == 0 else f"  event {event}: a wait of the story ended"
            return
        yield f"  event {event} at {known.time / 1e6:.6f} on {known.node}: {known.what}"
        yield from (f"    {line(fact)}" for fact in trace.stated_in(event) if level_of[type(fact.fact)] < CHATTER)
        event = known.cause
    yield "  ..."


def _forward(trace: Trace, fact: Fact, depth: int) -> Iterator[str]:
    """Facts of later events that this fact's event put under way, or that name it as a cause."""
    reached = {fact.event}
    found = 0
    for event in trace.events.values():
        if event.cause in reached and event.number > fact.event:
            reached.add(event.number)
    for later in trace.facts[fact.index + 1 :]:
        if level_of[type(later.fact)] == CHATTER or not reached.intersection(later.causes):
            continue
        yield f"  {line(later)}"
        found += 1
        if found == depth:
            yield "  ..."
            return
