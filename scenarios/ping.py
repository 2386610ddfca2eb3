"""Two nodes and one connection: the smallest run that shows what the world does.

One node asks, the other answers. In between the one that answers is killed and started again, the link is cut and
healed, and it is paused; the trace tells for each ping that was given up why.
"""

from __future__ import annotations

import attrs

from kafsim.cluster.world import World
from kafsim.protocol import codec
from kafsim.protocol.facts import ping as facts
from kafsim.protocol.facts.fact import because
from kafsim.protocol.surroundings import Surroundings
from kafsim.protocol.types import SECOND, Address, CallId, ConnectionId, FlushKey, Header, Micros, TimerKey, millis

SUMMARY = "two nodes, one connection: a kill, a cut and a pause"

ASKER = Address("", "ping", 1)
ANSWERER = Address("", "pong", 1)
EVERY = millis(100)
TIMEOUT_MS = 250


@attrs.frozen
class Ping:
    number: int


@attrs.frozen
class Pong:
    number: int


codec.register(Ping, "Ping")
codec.register(Pong, "Pong")


class Silent:
    """A core that does nothing."""

    def __init__(self, given: Surroundings) -> None:
        self.outbox = given.outbox

    def on_start(self, now: Micros) -> None: ...
    def on_message(self, now: Micros, connection: ConnectionId, header: Header, body: Ping | Pong) -> None: ...
    def on_disconnect(self, now: Micros, connection: ConnectionId) -> None: ...
    def on_timer(self, now: Micros, key: TimerKey) -> None: ...
    def on_flushed(self, now: Micros, key: FlushKey) -> None: ...
    def on_call(self, now: Micros, call: CallId, request: object) -> None: ...
    def on_cancel(self, now: Micros, call: CallId) -> None: ...


class PongCore(Silent):
    """Answers each ping."""

    def on_message(self, now: Micros, connection: ConnectionId, header: Header, body: Ping | Pong) -> None:
        self.outbox.happened(facts.PingAnswered(number=body.number))
        self.outbox.reply(connection, header, Pong(body.number))


class PingCore(Silent):
    """Asks every 100 ms, one ping at a time; gives one up after 250 ms and opens a new connection."""

    def __init__(self, given: Surroundings) -> None:
        super().__init__(given)
        self.number = 0
        self.sent: Micros | None = None
        self.connection: ConnectionId | None = None

    def on_start(self, now: Micros) -> None:
        self.ask(now)

    def ask(self, now: Micros) -> None:
        if self.connection is None:
            self.connection = self.outbox.connect(ANSWERER, "ping")
        self.number += 1
        self.sent = now
        self.outbox.send(self.connection, Header(0, 0, self.number), Ping(self.number))
        self.outbox.set_timer("timeout", Micros(now + millis(TIMEOUT_MS)))

    def on_message(self, now: Micros, connection: ConnectionId, header: Header, body: Ping | Pong) -> None:
        if body.number != self.number or self.sent is None:
            return
        self.outbox.happened(facts.PongReceived(number=body.number, round_trip_us=now - self.sent))
        self.rest(now)

    def on_disconnect(self, now: Micros, connection: ConnectionId) -> None:
        if connection == self.connection:
            self.connection = None
            if self.sent is not None:
                reason = because(facts.GONE, number=self.number)
                self.outbox.happened(facts.PingGivenUp(number=self.number, because=reason))
                self.rest(now)

    def on_timer(self, now: Micros, key: TimerKey) -> None:
        if key == "next":
            self.ask(now)
        elif self.connection is not None:
            reason = because(facts.NO_ANSWER, number=self.number, timeout_ms=TIMEOUT_MS)
            self.outbox.happened(facts.PingGivenUp(number=self.number, because=reason))
            self.outbox.close(self.connection)
            self.connection = None
            self.rest(now)

    def rest(self, now: Micros) -> None:
        self.sent = None
        self.outbox.cancel_timer("timeout")
        self.outbox.set_timer("next", Micros(now + EVERY))


async def play(world: World) -> None:
    """Six seconds of it."""
    asker, answerer = world.add(ASKER, PingCore), world.add(ANSWERER, PongCore)
    answerer.start()
    asker.start()
    await world.advance(SECOND)
    answerer.kill()
    await world.advance(SECOND)
    answerer.start()
    await world.advance(SECOND)
    world.cut(ASKER, ANSWERER)
    await world.advance(SECOND)
    world.heal(ASKER, ANSWERER)
    answerer.pause()
    await world.advance(SECOND)
    answerer.resume()
    await world.advance(SECOND)
