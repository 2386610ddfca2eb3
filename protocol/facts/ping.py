"""Facts of the smallest scenario."""

from __future__ import annotations

from kafsim.protocol.facts.fact import DECISION, STATE, Because, fact, rule

NO_ANSWER = rule("ping.no-answer", "no answer to ping {number} within {timeout_ms} ms")
GONE = rule("ping.gone", "the connection broke while ping {number} was under way")


@fact(STATE)
class PingAnswered:
    number: int


@fact(STATE)
class PongReceived:
    number: int
    round_trip_us: int


@fact(DECISION)
class PingGivenUp:
    number: int
    because: Because
