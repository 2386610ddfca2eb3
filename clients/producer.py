"""The core of a producer (Kafka: ``KafkaProducer``): takes records, finds their partitions, hands them to the sender.

A send waits up to max.block.ms for metadata when its topic is not known, and for memory when buffer.memory is used up.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from functools import partial
from typing import Any

import attrs

from kafsim.clients import calls
from kafsim.clients.accumulator import upper_bound
from kafsim.clients.buffer_pool import Waiter
from kafsim.clients.errors import KafkaError, KafkaTimeoutError, ProducerClosedError
from kafsim.clients.extensions import Partitioner, ProducerInterceptor, checked
from kafsim.clients.partitioner import StickyPartitioner, partition_for_key
from kafsim.clients.sender import Sender
from kafsim.protocol import errors
from kafsim.protocol.facts import client as facts
from kafsim.protocol.facts.fact import STATE
from kafsim.protocol.records.record import content_size
from kafsim.protocol.surroundings import Surroundings
from kafsim.protocol.types import CallId, Micros, TimerKey, TopicPartition, millis

BLOCKED_TIMER = "blocked"


@attrs.define
class Blocked:
    """A send that waits for metadata."""

    call: CallId
    send: calls.Send
    deadline: Micros


@attrs.define
class Starving:
    """A send that waits for memory."""

    send: calls.Send
    tp: TopicPartition
    timestamp: int
    sticky: StickyPartitioner | None
    since: Micros
    waiter: Waiter


class Producer(Sender):
    """``settings`` from :func:`kafsim.protocol.client_config.producer_settings`."""

    def __init__(
        self,
        given: Surroundings,
        settings: dict[str, Any],
        bootstrap: list[int],
        interceptors: Sequence[ProducerInterceptor] = (),
        partitioner: Partitioner | None = None,
    ) -> None:
        super().__init__(given, settings, bootstrap, interceptors)
        self._partitioner = partitioner
        self._sticky: dict[str, StickyPartitioner] = {}
        self._blocked: dict[str, deque[Blocked]] = {}
        self._starving: dict[CallId, Starving] = {}
        self._ready: list[CallId] = []
        """Of those that starved: memory is there for them."""
        self._patience = millis(settings["max.block.ms"])
        self._closing = False

    @property
    def has_blocked(self) -> bool:
        return bool(self._blocked or self._starving)

    # ----------------------------------------------------------------------------- inputs

    def on_timer(self, now: Micros, key: TimerKey) -> None:
        if key == BLOCKED_TIMER:
            self._expire_blocked(now)
        super().on_timer(now, key)

    def on_cancel(self, now: Micros, call: CallId) -> None:
        """A record that was sent stays sent; only its answer goes nowhere."""

    def on_call(self, now: Micros, call: CallId, request: Any) -> None:
        if isinstance(request, calls.Send):
            self._send(now, call, request)
        else:
            if isinstance(request, calls.Close):
                self._close()
            self.waiting_for_all.append((call, dict(self.accumulator.incomplete)))
            self.answer_waiting()
        self.run(now)

    def _close(self) -> None:
        """Who waits for memory waits in vain."""
        self._closing = True
        for call, starving in list(self._starving.items()):
            if call not in self._ready:
                del self._starving[call]
                self.accumulator.pool.give_up(starving.waiter)
                error = KafkaError(errors.UNKNOWN_SERVER_ERROR, "Producer closed while allocating memory")
                self._fail_send(call, starving.send, starving.tp.partition, error)

    # ------------------------------------------------------------------------------ sending

    def _send(self, now: Micros, call: CallId, send: calls.Send) -> None:
        send = self.hooks.on_send(send)
        if send.callback is not None:
            self.hooks.callbacks[call] = send.callback
        if self._closing:
            closed = ProducerClosedError("the producer is closed")
            self.outbox.answer_call(call, self.hooks.refused(call, TopicPartition(send.topic, -1), closed))
            return
        if self.outbox.heard >= STATE:
            self.outbox.happened(facts.SendInvoked(send=int(call), topic=send.topic, key=send.key, value=send.value))
        self.metadata.want(now, send.topic)
        if self._is_known(send):
            self._append(now, call, send, now)
            return
        self._blocked.setdefault(send.topic, deque()).append(Blocked(call, send, Micros(now + self._patience)))
        self._arm_blocked()

    def _arm_blocked(self) -> None:
        due = [queue[0].deadline for queue in self._blocked.values()]
        due += [Micros(starving.since + self._patience) for starving in self._starving.values()]
        if due:
            self.outbox.set_timer(BLOCKED_TIMER, min(due))

    def _note_ready(self, call: CallId) -> None:
        self._ready.append(call)

    def run(self, now: Micros) -> None:
        """Sends whose memory is there go on before anything else."""
        while self._ready:
            ready, self._ready = self._ready, []
            for call in ready:
                starving = self._starving.pop(call)
                self._put(
                    now, call, starving.send, starving.tp, starving.timestamp, starving.sticky, starving.waiter.size
                )
        super().run(now)
        if self._ready:
            self.run(now)

    def _is_known(self, send: calls.Send) -> bool:
        count = self.metadata.partition_counts.get(send.topic)
        return count is not None and (send.partition is None or send.partition < count)

    def _append(self, now: Micros, call: CallId, send: calls.Send, since: Micros) -> None:
        """``since``: when it was asked for, which max.block.ms counts from."""
        bound = upper_bound(send.key, send.value, send.headers) + 61
        if bound > self.settings["max.request.size"]:
            limit = self.settings["max.request.size"]
            text = (
                f"The message is {bound} bytes when serialized which is larger than {limit}, which is the value of "
                "the max.request.size configuration."
            )
            self._fail_send(call, send, -1, KafkaError(errors.MESSAGE_TOO_LARGE, text))
            return
        memory = self.settings["buffer.memory"]
        if bound > memory:
            text = (
                f"The message is {bound} bytes when serialized which is larger than the total memory buffer you have "
                "configured with the buffer.memory configuration."
            )
            self._fail_send(call, send, -1, KafkaError(errors.MESSAGE_TOO_LARGE, text))
            return
        try:
            partition, sticky = self._partition(send)
        except Exception as error:  # noqa: BLE001  # a user's partitioner may raise anything
            self._fail_send(call, send, -1, error)
            return
        if sticky is not None and self.accumulator.is_full(TopicPartition(send.topic, partition)):
            count, available = self._partitions(send.topic)
            sticky.appended(0, count, available, batch_full=True)
            partition = sticky.current(count, available)
        tp = TopicPartition(send.topic, partition)
        timestamp = self.given.wall_ms(now) if send.timestamp_ms is None else send.timestamp_ms
        need = self.accumulator.needs(tp, timestamp, content_size(send.key, send.value, send.headers))
        ready = partial(self._note_ready, call)
        waiter = self.accumulator.pool.allocate(need, ready) if need else None
        if waiter is not None:
            self._starving[call] = Starving(send, tp, timestamp, sticky, since, waiter)
            self._arm_blocked()
            return
        self._put(now, call, send, tp, timestamp, sticky, need)

    def _put(
        self,
        now: Micros,
        call: CallId,
        send: calls.Send,
        tp: TopicPartition,
        timestamp: int,
        sticky: StickyPartitioner | None,
        memory: int,
    ) -> None:
        """Into a batch. ``memory``: what was reserved, in case that it begins one."""
        batch, growth, full = self.accumulator.append(now, tp, timestamp, send.key, send.value, send.headers, call)
        if batch.count == 1:
            batch.event = self.outbox.event
            batch.reserved = memory
        elif memory:
            self.accumulator.pool.free(memory)
        for flush, waited in self.waiting_for_all:
            if call < flush:
                waited[batch.number] = batch
        if sticky is not None:
            count, available = self._partitions(send.topic)
            sticky.appended(growth, count, available, batch_full=full)

    def _partition(self, send: calls.Send) -> tuple[int, StickyPartitioner | None]:
        if send.partition is not None:
            return send.partition, None
        count, available = self._partitions(send.topic)
        if self._partitioner is not None:
            chosen = self._partitioner.partition(send.topic, send.key, send.value, count, available)
            return checked(chosen), None
        if send.key is not None and not self.settings["partitioner.ignore.keys"]:
            return partition_for_key(send.key, count), None
        sticky = self._sticky.get(send.topic)
        if sticky is None:
            sizes = partial(self._sizes, send.topic)
            sticky = self._sticky[send.topic] = StickyPartitioner(
                self.settings["batch.size"], self.given.entropy, sizes
            )
        return sticky.current(count, available), sticky

    def _sizes(self, topic: str) -> dict[int, int] | None:
        """Batches that wait for each partition with a leader, once every partition has been sent to.

        A partition whose batches wait for a broker for too long is left out.
        """
        count, available = self._partitions(topic)
        used = self.accumulator.used.get(topic, {})
        if not self.settings["partitioner.adaptive.partitioning.enable"] or len(used) < count:
            return None
        queues = {p: self.accumulator.queues.get(TopicPartition(topic, p), ()) for p in available}
        return {p: len(queue) for p, queue in queues.items() if not queue or self._is_available(topic, p)} or None

    def _is_available(self, topic: str, partition: int) -> bool:
        leader = self.metadata.leader(TopicPartition(topic, partition))
        return leader is None or self.availability.is_available(leader.id)

    def _partitions(self, topic: str) -> tuple[int, list[int]]:
        count = self.metadata.partition_counts[topic]
        return count, [p for p in range(count) if self.metadata.leader(TopicPartition(topic, p)) is not None]

    def on_metadata(self, now: Micros) -> None:
        """Sends that waited for it go on, or are refused."""
        for topic, queue in list(self._blocked.items()):
            error = self.metadata.topic_errors.get(topic, errors.NONE)
            kept: deque[Blocked] = deque()
            for blocked in queue:
                if error == errors.INVALID_TOPIC_EXCEPTION:
                    self._fail_send(blocked.call, blocked.send, -1, KafkaError(error))
                elif self._is_known(blocked.send):
                    self._append(now, blocked.call, blocked.send, Micros(blocked.deadline - self._patience))
                else:
                    kept.append(blocked)
            if kept:
                self._blocked[topic] = kept
            else:
                del self._blocked[topic]

    def _expire_blocked(self, now: Micros) -> None:
        limit = self.settings["max.block.ms"]
        for topic, queue in list(self._blocked.items()):
            while queue and queue[0].deadline <= now:
                blocked = queue.popleft()
                text = f"Topic {topic} not present in metadata after {limit} ms."
                count = self.metadata.partition_counts.get(topic)
                if count is not None:
                    text = (
                        f"Partition {blocked.send.partition} of topic {topic} with partition count {count} "
                        f"is not present in metadata after {limit} ms."
                    )
                self._fail_send(blocked.call, blocked.send, -1, KafkaTimeoutError(text))
            if not queue:
                del self._blocked[topic]
        self._expire_starving(now)
        self._arm_blocked()

    def _expire_starving(self, now: Micros) -> None:
        pool, limit = self.accumulator.pool, self.settings["max.block.ms"]
        for call, starving in list(self._starving.items()):
            if starving.since + self._patience <= now and call not in self._ready:
                del self._starving[call]
                pool.give_up(starving.waiter)
                text = (
                    f"Failed to allocate {starving.waiter.size} bytes within the configured max blocking time {limit} "
                    f"ms. Total memory: {pool.total} bytes. Available memory: {pool.available} bytes. Poolable size: "
                    f"{self.accumulator.batch_size} bytes"
                )
                self._fail_send(call, starving.send, starving.tp.partition, KafkaTimeoutError(text))

    def _fail_send(self, call: CallId, send: calls.Send, partition: int, error: Exception) -> None:
        self.state_failure(call, send.topic, partition, error)
        failure = self.hooks.refused(call, TopicPartition(send.topic, partition), error) if self.hooks else error
        self.outbox.answer_call(call, failure)
