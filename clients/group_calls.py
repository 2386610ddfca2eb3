"""What a consumer is asked about its group and has to wait for: commits, committed offsets, its end.

Each is tried again until default.api.timeout.ms, as long as what it fails with may pass.
"""

from __future__ import annotations

from typing import Any

import attrs

from kafsim.clients.backoff import Backoff
from kafsim.clients.consumer_coordinator import ConsumerCoordinator
from kafsim.clients.consumer_group import ConsumerGroupMember
from kafsim.clients.errors import CLOSED, CommitFailedError, IllegalStateError, KafkaError, KafkaTimeoutError
from kafsim.clients.group_offsets import RETRIABLE, OffsetAndMetadata
from kafsim.protocol import errors
from kafsim.protocol.effects import Outbox
from kafsim.protocol.facts.client import CommitFailed, OffsetsCommitAnswered
from kafsim.protocol.types import CallId, Micros, TopicPartition, millis

AnyGroup = ConsumerCoordinator | ConsumerGroupMember
TIMER = "group-calls"
CLOSE_MS = 30_000


@attrs.define(eq=False)
class Waiting:
    """``offsets`` of a commit, ``partitions`` of a question; ``closes``: the end, which ``leaves`` after a commit."""

    call: CallId
    deadline: Micros
    offsets: dict[TopicPartition, OffsetAndMetadata] | None = None
    partitions: list[TopicPartition] | None = None
    under_way: bool = False
    not_before: Micros = Micros(0)  # noqa: RUF009  # an int in disguise
    attempts: int = 0
    closes: bool = False
    leaves: bool = False


class GroupCalls:
    """Of one consumer that has a group."""

    def __init__(self, outbox: Outbox, group: AnyGroup, settings: dict[str, Any], backoff: Backoff) -> None:
        self._outbox = outbox
        self._group = group
        self._settings = settings
        self._backoff = backoff
        self._waiting: list[Waiting] = []

    def commit(self, now: Micros, call: CallId, offsets: dict[TopicPartition, OffsetAndMetadata] | None) -> None:
        """Answered with None; without ``offsets`` everything that was read."""
        taken = self._group.all_consumed() if offsets is None else offsets
        self._waiting.append(Waiting(call, self._deadline(now), offsets=taken))

    def committed(self, now: Micros, call: CallId, partitions: list[TopicPartition]) -> None:
        """Answered with the offsets that there are."""
        self._waiting.append(Waiting(call, self._deadline(now), partitions=partitions))

    def close(self, now: Micros, call: CallId) -> None:
        """Commit what was read, if that is done automatically, and leave, all within request.timeout.ms."""
        for one in list(self._waiting):
            self._finish(one, IllegalStateError(CLOSED))
        limit = min(CLOSE_MS, self._settings["request.timeout.ms"])
        offsets = self._group.all_consumed() if self._settings["enable.auto.commit"] else {}
        self._waiting.append(Waiting(call, Micros(now + millis(limit)), offsets=offsets, closes=True))

    def _leave(self, now: Micros, closing: Waiting) -> None:
        """Once; whoever is to be closed waits for no more than its deadline for the answer."""
        if not closing.leaves:
            closing.leaves = closing.under_way = True
            try:
                self._group.leave(now, lambda _: self._finish(closing, None) if closing in self._waiting else None)
            except KafkaError as error:
                self._finish(closing, KafkaError(error.code, f"Failed to close kafka consumer: {error.message}"))

    def _deadline(self, now: Micros) -> Micros:
        return Micros(now + millis(self._settings["default.api.timeout.ms"]))

    def run(self, now: Micros) -> None:
        """Try what may be tried, and end what is over."""
        for one in list(self._waiting):
            if one.deadline <= now and one.closes:
                self._leave(now, one)
                if one in self._waiting:
                    self._finish(one, None)
            elif one.deadline <= now:
                self._finish(one, KafkaTimeoutError(self._too_late(one)))
            elif not one.under_way and one.not_before <= now:
                self._try(now, one)
        self._arm()

    def _arm(self) -> None:
        """Wake for whatever comes next."""
        wakes = [one.deadline if one.under_way else min(one.not_before, one.deadline) for one in self._waiting]
        if wakes:
            self._outbox.set_timer(TIMER, min(wakes))

    def _too_late(self, one: Waiting) -> str:
        limit = self._settings["default.api.timeout.ms"]
        if one.partitions is None:
            return f"Timeout of {limit}ms expired before successfully committing offsets"
        return (
            f"Timeout of {limit}ms expired before the last committed offset for partitions "
            f"{', '.join(map(str, one.partitions))} could be determined. Try tuning default.api.timeout.ms larger to "
            "relax the threshold."
        )

    def _try(self, now: Micros, one: Waiting) -> None:
        one.under_way = True
        if one.partitions is not None:
            self._group.offsets.fetch(now, one.partitions, lambda at, found: self._answered(at, one, found))
        else:
            self._group.offsets.commit(now, one.offsets or {}, lambda at, error: self._answered(at, one, error))

    def _answered(self, now: Micros, one: Waiting, answer: Any) -> None:
        one.under_way = False
        if one not in self._waiting:
            return
        if isinstance(answer, KafkaError) and answer.code in self._retriable(one):
            one.not_before = Micros(now + self._backoff.after(one.attempts))
            one.attempts += 1
            self._arm()
            return
        if one.closes:
            self._leave(now, one)
            return
        if isinstance(answer, KafkaError) and answer.code == errors.STALE_MEMBER_EPOCH:
            answer = CommitFailedError(str(answer.message))
        if isinstance(answer, KafkaError) and one.offsets:
            failed = CommitFailed(group=self._settings["group.id"], error=answer.name, automatic=False)
            self._outbox.happened(failed)
        if answer is None and one.offsets:
            offsets = tuple((str(tp), offset.offset) for tp, offset in one.offsets.items())
            self._outbox.happened(OffsetsCommitAnswered(group=self._settings["group.id"], offsets=offsets))
        self._finish(one, answer)

    def _retriable(self, one: Waiting) -> frozenset[int]:
        return RETRIABLE if one.partitions is None else self._group.offsets.retriable_fetch

    def _finish(self, one: Waiting, answer: object) -> None:
        self._waiting.remove(one)
        self._outbox.answer_call(one.call, answer)
