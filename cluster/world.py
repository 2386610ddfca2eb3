"""The world: one clock, one chance, one network, and the nodes of one or more clusters."""

from __future__ import annotations

import contextlib
import gc
from collections import deque
from collections.abc import Awaitable, Callable, Iterator
from functools import partial
from typing import Any, Literal, NamedTuple, Protocol, TypeVar

import attrs
import trio

from kafsim.cluster import wire
from kafsim.cluster.chance import Chance
from kafsim.cluster.clock import SimClock
from kafsim.cluster.errors import ClientKilled
from kafsim.cluster.guard import Guard
from kafsim.cluster.inputs import CALL, CANCEL
from kafsim.cluster.network import Latency, Network
from kafsim.cluster.node import MakeCore, Node
from kafsim.cluster.port import Port
from kafsim.cluster.scheduling import make_deterministic
from kafsim.cluster.waits import WITHIN, Call, Parking
from kafsim.protocol.facts import world as facts
from kafsim.protocol.facts.fact import describe, level_of, reason
from kafsim.protocol.safeguards import ALL_ON, Safeguards
from kafsim.protocol.types import Address, CallId, EventNumber, Micros

T = TypeVar("T")
Dispatch = Literal["channel", "direct"]
WireName = Literal["codec", "share"]
WORLD = Address("", "world", 0)


class Stated(NamedTuple):
    """A fact with what the world adds to it."""

    event: EventNumber
    time: Micros
    node: Address
    fact: Any
    causes: tuple[EventNumber, ...]
    """The event in which it was stated first, then those that the core had kept."""


class Listener(Protocol):
    """Told every fact up to its level, as it is stated."""

    level: int

    def on_fact(self, stated: Stated) -> None: ...


class EventListener(Protocol):
    """Told every event that reached somebody."""

    def on_event(self, clock: SimClock, node: Address, what: str) -> None: ...


@attrs.frozen(kw_only=True)
class Shape:
    """How a world is run; none of it changes what happens in it, but for ``latency_*``, ``safeguards`` and the seed."""

    seed: int = 0
    dispatch: Dispatch = "channel"
    wire: WireName = "codec"
    latency_base_us: int = 250
    latency_spread_us: int = 500
    safeguards: Safeguards = ALL_ON


class World:
    """Everything of one run. Faults and inspections are plain calls; only waits are async."""

    def __init__(self, shape: Shape, listeners: tuple[Listener, ...] = ()) -> None:
        self.shape = shape
        self.chance = Chance(shape.seed)
        self.clock = SimClock(self.chance.key("ties"))
        self.clock.why_stuck = self.explain
        self.network = Network(Latency(shape.latency_base_us, shape.latency_spread_us))
        self.safeguards = shape.safeguards
        self.nodes: dict[Address, Node] = {}
        self.nursery: trio.Nursery | None = None
        self.guard: Guard | None = None
        self.ports = 0
        self.messages = 0
        """How many messages were sent so far; also the number of the last one."""
        self.heard = 0
        self.recorder: EventListener | None = None
        self.watchers: dict[int, tuple[Callable[[], Any], Parking]] = {}
        self.recent: deque[Stated] = deque(maxlen=12)
        self._listeners: tuple[tuple[Listener, ...], ...] = ((),) * 4
        self._calls: dict[CallId, tuple[Call, Port]] = {}
        self._ids = 0
        self.wire: wire.Wire = wire.Share() if shape.wire == "share" else wire.Codec()
        for listener in listeners:
            self.listen(listener)

    # ---------------------------------------------------------------------- facts

    def listen(self, listener: Listener) -> None:
        levels = [list(level) for level in self._listeners]
        for level in range(1, listener.level + 1):
            levels[level].append(listener)
        self._listeners = tuple(map(tuple, levels))
        self.heard = max(self.heard, listener.level)

    def happened(self, node: Address, fact: Any, causes: tuple[EventNumber, ...] = ()) -> None:
        """State a fact in the name of a node."""
        if not self.heard:
            return
        clock = self.clock
        stated = Stated(clock.event, clock.now, node, fact, (clock.event, *causes))
        self.recent.append(stated)
        for listener in self._listeners[level_of[type(fact)]]:
            listener.on_fact(stated)

    def explain(self, trouble: str) -> str:
        """An error message with the last facts."""
        lines = [f"{trouble} (at {self.clock.now / 1e6:.6f} s, event {self.clock.event}, seed {self.shape.seed})"]
        for stated in self.recent:
            why = reason(stated.fact)
            lines.append(
                f"  {stated.time / 1e6:.6f} {stated.node} {describe(stated.fact)}" + (f": {why}" if why else "")
            )
        return "\n".join(lines)

    def explain_failure(self, node: Address, error: Exception) -> str:
        return self.explain(f"{node} failed: {type(error).__name__}: {error}")

    # ---------------------------------------------------------------------- nodes

    def add(self, address: Address, make_core: MakeCore, *, skew_ms: int = 0, disks: int = 1) -> Node:
        """A node that is not running yet."""
        assert address not in self.nodes, f"{address} is there already"
        node = self.nodes[address] = Node(self, address, make_core, skew_ms, disks)
        return node

    def cut(self, source: Address, target: Address) -> None:
        """From now on nothing gets from one node to the other; it is held."""
        self.network.cut(source, target)
        self.happened(WORLD, facts.LinkCut(source=str(source), target=str(target)))

    def heal(self, source: Address, target: Address) -> None:
        held = self.network.heal(source, target)
        self.happened(WORLD, facts.LinkHealed(source=str(source), target=str(target), held=held))

    def slow_link(self, source: Address, target: Address, extra_us: int) -> None:
        """From now on each message takes so much longer; 0 ends it."""
        self.network.link(source, target).extra_us = extra_us
        self.happened(WORLD, facts.LinkSlowed(source=str(source), target=str(target), extra_us=extra_us))

    # ---------------------------------------------------------------------- calls

    def call(self, node: Node, request: object, what: str) -> Call:
        """Ask a node's core something: an event of this instant. The answer is one too."""
        self._ids += 1
        id_, call = CallId(self._ids), Call(self, what)
        port = node.port
        if port is None:
            self.clock.push(self.clock.now, node.key, call.resolve, ClientKilled(f"{node.address} is not running"))
            return call
        self._calls[id_] = (call, port)
        self.clock.push(self.clock.now, node.key, lambda _: port.take(CALL, id_, request))
        return call

    def cancel(self, call: Call) -> None:
        """Whoever asked is no longer interested; the core is told so, and whatever it answers is dropped."""
        for id_, (known, port) in self._calls.items():
            if known is call:
                del self._calls[id_]
                self.clock.push(self.clock.now, port.node.key, partial(port.take, CANCEL), id_)
                return

    def answer(self, id_: CallId, answer: object, at: Micros) -> None:
        known = self._calls.pop(id_, None)
        if known is not None:
            call, port = known
            self.clock.push(at, port.node.key, self._resolve, (call, port, answer))

    def _resolve(self, answered: tuple[Call, Port, object]) -> bool:
        call, port, answer = answered
        if self.recorder is not None:
            self.recorder.on_event(self.clock, port.node.address, "answer")
        return call.resolve(answer)

    def fail_calls(self, port: Port) -> None:
        """The process that was asked is dead."""
        dead = [(id_, call) for id_, (call, asked) in self._calls.items() if asked is port]
        for id_, call in dead:
            del self._calls[id_]
            error = ClientKilled(f"{port.node.address} was killed")
            self.clock.push(self.clock.now, port.node.key, call.resolve, error)

    # ---------------------------------------------------------------------- waits

    async def advance(self, span: Micros) -> None:
        """Let virtual time go by."""
        parking = Parking(self, "time to go by")
        self.clock.push(self.clock.now + span, 1, parking.wake)
        await parking.wait(within=None)

    async def until(self, predicate: Callable[[], T], what: str, within: Micros = WITHIN) -> T:
        """Wait until this is true after some event; returns what it gave. Stuck when it takes too long."""
        value = predicate()
        if value:
            return value
        parking = Parking(self, what)
        self._ids += 1
        mine = self._ids
        self.watchers[mine] = (predicate, parking)
        try:
            return await parking.wait(within)  # type: ignore[no-any-return]
        finally:
            self.watchers.pop(mine, None)

    def look(self) -> None:
        """After an event: wake whoever waited for what is now true."""
        for id_, (predicate, parking) in list(self.watchers.items()):
            value = predicate()
            if value:
                del self.watchers[id_]
                self.clock.push(self.clock.now, 2, parking.wake, value)

    def at(self, time: int, act: Callable[[], object], what: str) -> None:
        """Do something at a time, as an event (an operation of a plan)."""

        def fire(_: None) -> bool:
            if self.recorder is not None:
                self.recorder.on_event(self.clock, WORLD, what)
            act()
            if self.watchers:
                self.look()
            return self.nursery is not None

        self.clock.push(time, 3, fire)


@contextlib.contextmanager
def _without_garbage_collection() -> Iterator[None]:
    """A collection could wake a finaliser in the middle of a run."""
    enabled = gc.isenabled()
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


def run(world: World, story: Callable[[World], Awaitable[T]]) -> T:
    """Run a story in a world, to its end; Stuck, Livelock, CoreFailed and the like are raised as they are."""
    make_deterministic(world.shape.seed)
    with _without_garbage_collection():
        return trio.run(_main, world, story, clock=world.clock)


async def _main(world: World, story: Callable[[World], Awaitable[T]]) -> T:
    clock = world.clock
    with Guard().on() as world.guard, trio.CancelScope() as clock.root:
        try:
            return await _play(world, story)
        except BaseException:
            if clock.error is None:
                raise
        finally:
            clock.finished = True
    assert clock.error is not None
    raise clock.error


async def _play(world: World, story: Callable[[World], Awaitable[T]]) -> T:
    if world.shape.dispatch == "direct":
        return await story(world)
    try:
        async with trio.open_nursery() as world.nursery:
            try:
                return await story(world)
            finally:
                world.nursery.cancel_scope.cancel()
    except BaseExceptionGroup as group:
        single = _only(group)
        if single is None:
            raise
        raise single from None


def _only(group: BaseExceptionGroup[BaseException]) -> BaseException | None:
    """The one error in a group of one, however deep."""
    inner: BaseException = group
    while isinstance(inner, BaseExceptionGroup):
        if len(inner.exceptions) != 1:
            return None
        inner = inner.exceptions[0]
    return inner
