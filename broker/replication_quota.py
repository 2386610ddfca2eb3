"""Replication throttles (Kafka: ``ReplicationQuotaManager``, KIP-73): how fast a replica that lags may be copied.

A broker has three rates: what it gives to followers as a leader, what it takes as a follower, what it copies between
its log directories. The first two count only the replicas that a topic lists, and hold back none that is in sync. The
rate is that of the last eleven seconds: after a burst nothing more goes until enough of them have passed.
"""

from __future__ import annotations

import attrs

from kafsim.controller.metadata_state import BROKER, TOPIC, MetadataState
from kafsim.protocol.config import MAX_LONG
from kafsim.protocol.facts.broker import NOT_BEHIND, NOT_LISTED, TOO_FAST, WITHIN_RATE
from kafsim.protocol.facts.fact import Because, because
from kafsim.protocol.types import Micros, TopicPartition

WINDOW_MS = 1_000
WINDOWS = 11
LEADER_RATE, LEADER_REPLICAS = "leader.replication.throttled.rate", "leader.replication.throttled.replicas"
FOLLOWER_RATE, FOLLOWER_REPLICAS = "follower.replication.throttled.rate", "follower.replication.throttled.replicas"
MOVE_RATE = "replica.alter.log.dirs.io.max.bytes.per.second"
ALL = None


@attrs.define
class _Window:
    start_ms: int
    last_ms: int
    total: int = 0


class Rate:
    """Bytes per second over the windows that are kept (Kafka: ``SimpleRate`` of a ``WindowedSum``)."""

    def __init__(self) -> None:
        self._windows: list[_Window] = []
        self._current = 0

    def record(self, now_ms: int, count: int) -> None:
        self._begin(now_ms)
        window = self._windows[self._current]
        if now_ms - window.start_ms >= WINDOW_MS:
            window = self._advance(now_ms)
        window.total += count
        window.last_ms = now_ms

    def _begin(self, now_ms: int) -> None:
        if not self._windows:
            self._windows.append(_Window(now_ms, now_ms))

    def _advance(self, now_ms: int) -> _Window:
        fresh = _Window(now_ms, now_ms)
        self._current = (self._current + 1) % (WINDOWS + 1)
        if self._current == len(self._windows):
            self._windows.append(fresh)
        self._windows[self._current] = fresh
        return fresh

    def per_second(self, now_ms: int) -> float:
        self._begin(now_ms)
        for number, window in enumerate(self._windows):
            if now_ms - window.last_ms >= WINDOWS * WINDOW_MS:
                self._windows[number] = _Window(now_ms, now_ms)
        oldest = min(window.start_ms for window in self._windows)
        return sum(window.total for window in self._windows) * 1_000 / max(now_ms - oldest, WINDOW_MS)


class ReplicationQuota:
    """``bound``: bytes per second, of a setting. ``throttled``: partitions by topic, ALL for all of them."""

    def __init__(self, setting: str) -> None:
        self.setting = setting
        self.bound = MAX_LONG
        self.throttled: dict[str, frozenset[int] | None] = {}
        self._rate = Rate()

    def throttles(self, tp: TopicPartition) -> bool:
        partitions = self.throttled.get(tp.topic, frozenset())
        return partitions is ALL or tp.partition in partitions

    def record(self, now: Micros, count: int) -> None:
        self._rate.record(now // 1_000, count)

    def rate(self, now: Micros) -> float:
        return self._rate.per_second(now // 1_000)

    def is_exceeded(self, now: Micros) -> bool:
        return self.rate(now) > self.bound

    def judge(self, now: Micros, tp: TopicPartition, *, lags: bool) -> tuple[bool, Because]:
        """Is a replica held back, and why, or why not?"""
        if not lags:
            return False, because(NOT_BEHIND)
        if not self.throttles(tp):
            return False, because(NOT_LISTED)
        rate = self.rate(now)  # which moves the windows, as in Kafka: not before it is asked for
        held = rate > self.bound
        return held, because(TOO_FAST if held else WITHIN_RATE, rate=int(rate), setting=self.setting, bound=self.bound)

    def take_replicas(self, topic: str, text: str, broker: int) -> None:
        """What a topic lists: ``*`` or ``partition:broker,...``; an empty text lists nothing."""
        if not text.strip():
            self.throttled.pop(topic, None)
        elif text.strip() == "*":
            self.throttled[topic] = ALL
        else:
            pairs = (pair.strip().split(":") for pair in text.split(",") if pair.strip())
            self.throttled[topic] = frozenset(int(index) for index, id_ in pairs if int(id_) == broker)


class ReplicationQuotas:
    """The three of one broker."""

    def __init__(self, broker: int) -> None:
        self._broker = broker
        self.leader = ReplicationQuota(LEADER_RATE)
        self.follower = ReplicationQuota(FOLLOWER_RATE)
        self.moves = ReplicationQuota(MOVE_RATE)

    def update(self, metadata: MetadataState, touched: dict[tuple[int, str], None]) -> None:
        """Settings have changed (Kafka: ``TopicConfigHandler``, ``BrokerConfigHandler``)."""
        for type_, name in touched:
            if type_ == TOPIC:
                own = metadata.config(TOPIC, name)
                self.leader.take_replicas(name, own.get(LEADER_REPLICAS, ""), self._broker)
                self.follower.take_replicas(name, own.get(FOLLOWER_REPLICAS, ""), self._broker)
        settings = {**metadata.config(BROKER, ""), **metadata.config(BROKER, str(self._broker))}
        for quota in (self.leader, self.follower, self.moves):
            quota.bound = int(settings.get(quota.setting, MAX_LONG))
