"""What the clients saw, from the facts they stated, and the judgement of it: lost, duplicated, reordered.

This is the second oracle: it knows nothing of replicas. A record is lost when its send was acknowledged and the final
read has another record at its offset, or none, unless compaction left it out. With acks=0 nothing is acknowledged: such
records are only counted when they are missing. A value is duplicated when the log holds it more often than it was sent.
"""

from __future__ import annotations

from collections import Counter

import attrs

from kafsim.cluster.world import Stated
from kafsim.protocol.facts import client as facts
from kafsim.protocol.facts.fact import STATE
from kafsim.protocol.facts.log import LogCompacted
from kafsim.protocol.types import TopicPartition

Content = tuple[bytes | None, bytes | None]


@attrs.define
class Sent:
    """One send: what, when, and what came of it."""

    topic: str
    content: Content
    invoked_us: int
    partition: int = -1
    offset: int = -1
    answered_us: int = -1
    error: str | None = None

    @property
    def is_acknowledged(self) -> bool:
        return self.answered_us >= 0 and self.error is None


@attrs.frozen
class Judgement:
    """Counts, and the first examples in words."""

    sent: int
    acked: int
    unacknowledged: int
    """Sent with acks=0: nobody says whether they were written."""
    missing: int
    """How many of those are not there at the end."""
    failed: int
    unanswered: int
    read: int
    lost: int
    duplicated: int
    reordered: int
    epoch_bumps: int
    """How often an idempotent producer had to begin anew; what was under way then may be written twice."""
    errors: dict[str, int]
    """How many sends failed with which error."""
    examples: tuple[str, ...]
    latency_p50_ms: float
    latency_p99_ms: float


class History:
    """Listens to client facts."""

    level = STATE

    def __init__(self) -> None:
        self.sends: dict[tuple[str, int], Sent] = {}
        self._is_read = False
        self.final: dict[TopicPartition, dict[int, Content]] = {}
        """What a reader of everything found; filled by :meth:`read_from_now_on` and the reads after it."""
        self.compacted: dict[TopicPartition, int] = {}
        """Below which offset a replica may have left out what a later record of the same key replaces."""
        self.epoch_bumps = 0
        self._final_reader: str | None = None
        self._handlers = {
            facts.SendInvoked: self._invoked,
            facts.SendAcknowledged: self._acknowledged,
            facts.SendFailed: self._failed,
            facts.RecordRead: self._read,
            facts.ProducerEpochBumped: self._bumped,
            LogCompacted: self._compacted,
        }

    def on_fact(self, stated: Stated) -> None:
        handler = self._handlers.get(type(stated.fact))
        if handler is not None:
            handler(str(stated.node), stated.time, stated.fact)  # type: ignore[operator]

    def read_from_now_on(self, consumer: str) -> None:
        """This consumer reads everything from the start: its reads are what is there at the end."""
        self._final_reader = consumer
        self.final.clear()

    def all_is_read(self) -> None:
        """That consumer has come to the end; before it has, nothing can be said to be lost."""
        self._is_read = True

    def _compacted(self, _: str, __: int, fact: LogCompacted) -> None:
        tp = TopicPartition.parse(fact.log)
        self.compacted[tp] = max(self.compacted.get(tp, 0), fact.to)

    def _bumped(self, _: str, __: int, ___: facts.ProducerEpochBumped) -> None:
        self.epoch_bumps += 1

    def _invoked(self, node: str, time: int, fact: facts.SendInvoked) -> None:
        self.sends[node, fact.send] = Sent(fact.topic, (fact.key, fact.value), time)

    def _acknowledged(self, node: str, time: int, fact: facts.SendAcknowledged) -> None:
        sent = self.sends[node, fact.send]
        sent.partition, sent.offset, sent.answered_us = fact.partition, fact.offset, time

    def _failed(self, node: str, time: int, fact: facts.SendFailed) -> None:
        sent = self.sends[node, fact.send]
        sent.answered_us, sent.error, sent.partition = time, fact.error, fact.partition

    def _read(self, node: str, _: int, fact: facts.RecordRead) -> None:
        if node == self._final_reader:
            tp = TopicPartition(fact.topic, fact.partition)
            self.final.setdefault(tp, {})[fact.offset] = (fact.key, fact.value)

    # ---------------------------------------------------------------------------- judging

    def judge(self) -> Judgement:
        answered = [sent for sent in self.sends.values() if sent.is_acknowledged]
        acked = [sent for sent in answered if sent.offset >= 0]
        unacknowledged = [sent for sent in answered if sent.offset < 0]
        read = acked if self._is_read else []
        lost = [sent for sent in read if self._is_lost(sent) and not self._is_replaced(sent, acked)]
        duplicated = self._duplicated()
        reordered = self._reordered()
        examples = [_tell("lost", sent) for sent in lost[:3]]
        examples += [f"duplicated: {text}" for text in duplicated[:3]]
        examples += [f"reordered: {text}" for text in reordered[:3]]
        latencies = sorted(sent.answered_us - sent.invoked_us for sent in acked)
        return Judgement(
            sent=len(self.sends),
            acked=len(acked),
            unacknowledged=len(unacknowledged),
            missing=self._missing(unacknowledged) if self._is_read else 0,
            failed=sum(sent.error is not None for sent in self.sends.values()),
            unanswered=sum(sent.answered_us < 0 for sent in self.sends.values()),
            read=sum(map(len, self.final.values())),
            lost=len(lost),
            duplicated=len(duplicated),
            reordered=len(reordered),
            epoch_bumps=self.epoch_bumps,
            errors=dict(Counter(sent.error for sent in self.sends.values() if sent.error is not None)),
            examples=tuple(examples),
            latency_p50_ms=_percentile(latencies, 50),
            latency_p99_ms=_percentile(latencies, 99),
        )

    def _is_lost(self, sent: Sent) -> bool:
        found = self.final.get(TopicPartition(sent.topic, sent.partition), {})
        return found.get(sent.offset) != sent.content

    def _is_replaced(self, sent: Sent, acked: list[Sent]) -> bool:
        """Compaction may have left it out: a tombstone, or a later record of its key is there."""
        tp = TopicPartition(sent.topic, sent.partition)
        key, value = sent.content
        if key is None or sent.offset >= self.compacted.get(tp, 0):
            return False
        later = [o for o in acked if (o.topic, o.partition, o.content[0]) == (tp.topic, tp.partition, key)]
        return value is None or any(other.offset > sent.offset for other in later)

    def _missing(self, sends: list[Sent]) -> int:
        there = Counter((tp.topic, content) for tp, records in self.final.items() for content in records.values())
        return sum((Counter((sent.topic, sent.content) for sent in sends) - there).values())

    def _duplicated(self) -> list[str]:
        """Beyond what was sent: copies of one value in all partitions of a topic."""
        sent: dict[str, Counter[Content]] = {}
        for one in self.sends.values():
            sent.setdefault(one.topic, Counter())[one.content] += 1
        there: dict[str, Counter[Content]] = {}
        for tp, records in self.final.items():
            there.setdefault(tp.topic, Counter()).update(records.values())
        return [
            f"{content[1]!r} is {count} times in {topic} and was sent {sent.get(topic, Counter())[content]} times"
            for topic, counts in there.items()
            for content, count in counts.items()
            for _ in range(count - sent.get(topic, Counter())[content])
        ]

    def _reordered(self) -> list[str]:
        """Of one producer and partition, acknowledged in another order than sent."""
        last: dict[tuple[str, str, int], Sent] = {}
        found = []
        for (producer, _), sent in self.sends.items():
            if sent.is_acknowledged and sent.offset >= 0 and not self._is_lost(sent):
                key = (producer, sent.topic, sent.partition)
                before = last.get(key)
                if before is not None and before.offset >= sent.offset:
                    first, then = before.content[1], sent.content[1]
                    found.append(f"{then!r} at {sent.offset} was sent after {first!r} at {before.offset}")
                last[key] = sent
        return found


def _tell(what: str, sent: Sent) -> str:
    return f"{what}: {sent.content[1]!r}, acknowledged at offset {sent.offset} of {sent.topic}-{sent.partition}"


def _percentile(values: list[int], percent: int) -> float:
    """In milliseconds; 0 without values."""
    if not values:
        return 0.0
    return values[min(len(values) - 1, len(values) * percent // 100)] / 1_000
