"""The sending half of a producer (Kafka: ``Sender``): drain by broker, retry, expire, answer.

After every input it runs once: it asks for a producer id if it needs one, sends what is ready to every broker that can
take it, expires what is too old, and sets its timer for the next thing to do.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

from kafsim.clients import calls
from kafsim.clients.accumulator import Accumulator, ProducerBatch
from kafsim.clients.backoff import Backoff
from kafsim.clients.broker_availability import BrokerAvailability
from kafsim.clients.client import Client
from kafsim.clients.errors import KafkaError, KafkaTimeoutError
from kafsim.clients.extensions import ProducerInterceptor, SendHooks
from kafsim.clients.idempotence import Idempotence, IdempotenceState
from kafsim.clients.metadata import Leader
from kafsim.clients.network import FAR, Lost
from kafsim.protocol import errors
from kafsim.protocol.facts import client as facts
from kafsim.protocol.facts.fact import STATE, because
from kafsim.protocol.messages.init_producer_id import InitProducerIdRequest, InitProducerIdResponse
from kafsim.protocol.messages.produce import (
    BatchIndexAndErrorMessage,
    PartitionProduceData,
    PartitionProduceResponse,
    ProduceRequest,
    ProduceResponse,
    TopicProduceData,
)
from kafsim.protocol.records import compression
from kafsim.protocol.surroundings import Surroundings
from kafsim.protocol.types import CallId, Micros, TopicPartition, millis
from kafsim.protocol.uuid import ZERO_UUID, Uuid

PRODUCE, INIT_PRODUCER_ID = 0, 22
SENDER_TIMER = "sender"


NOBODY: Mapping[int, Exception] = MappingProxyType({})
NOT_TO_BLAME = "Failed to append record because it was part of a batch which had one more more invalid records"


class Sender(Client):
    """``settings`` from :func:`kafsim.protocol.client_config.producer_settings`."""

    def __init__(
        self,
        given: Surroundings,
        settings: dict[str, Any],
        bootstrap: list[int],
        interceptors: Sequence[ProducerInterceptor] = (),
    ) -> None:
        self.hooks = SendHooks(given.outbox, tuple(interceptors))
        idle = millis(settings["metadata.max.idle.ms"])
        super().__init__(given, settings, bootstrap, self.on_metadata, auto_create=True, idle=idle)
        codec = compression.codec_id(settings["compression.type"])
        self.accumulator = Accumulator(
            settings["batch.size"], millis(settings["linger.ms"]), codec, settings["buffer.memory"]
        )
        self.idempotence = Idempotence(given.outbox) if settings["enable.idempotence"] else None
        self._backoff = Backoff(settings["retry.backoff.ms"], settings["retry.backoff.max.ms"], given.entropy)
        self._delivery_timeout = millis(settings["delivery.timeout.ms"])
        self._muted: dict[TopicPartition, None] = {}
        self.waiting_for_all: list[tuple[CallId, dict[int, ProducerBatch]]] = []
        self._ask_id_at = Micros(0)
        self.availability = BrokerAvailability(millis(settings["partitioner.availability.timeout.ms"]))
        self._drain_from: dict[int, int] = {}

    def on_start(self, now: Micros) -> None:
        """An idempotent producer asks for its id before there is anything to send."""
        self.run(now)

    def on_metadata(self, now: Micros) -> None:
        """Leaders or partitions changed."""

    @property
    def has_blocked(self) -> bool:
        """Does a send wait for metadata?"""
        return False

    # ----------------------------------------------------------------------------- sending

    def run(self, now: Micros) -> None:
        """Once through the sender's loop."""
        self.metadata.maybe_ask(now)
        if self.idempotence is not None and not self._has_producer_id(now):
            return
        self._expire(now)
        wake = self._send_ready(now)
        for batch in self.accumulator.incomplete.values():
            wake = min(wake, batch.created + self._delivery_timeout)
            break
        if wake < FAR:
            self.outbox.set_timer(SENDER_TIMER, Micros(wake))

    def _has_producer_id(self, now: Micros) -> bool:
        """While it is asked for nothing is sent, and nothing expires."""
        idempotence = self.idempotence
        assert idempotence is not None, "only an idempotent producer needs an id"
        idempotence.before_sending()
        if idempotence.state is IdempotenceState.FATAL:
            for batch in list(self.accumulator.incomplete.values()):
                self._fail(batch, idempotence.error, final_answer=False, why="the producer cannot go on")
            return False
        if idempotence.state is IdempotenceState.UNINITIALIZED:
            self._ask_for_id(now, idempotence)
        return idempotence.state is IdempotenceState.READY

    def _ask_for_id(self, now: Micros, idempotence: Idempotence) -> None:
        node = self.network.least_loaded(self.metadata.nodes(), now) if now >= self._ask_id_at else None
        if node is None:
            soonest = min(self.network.wake_at(node) for node in self.metadata.nodes())
            self.outbox.set_timer(SENDER_TIMER, Micros(max(soonest if soonest < FAR else 0, self._ask_id_at)))
            return
        if not self.network.is_ready(now, node):
            return
        idempotence.state = IdempotenceState.INITIALIZING
        request = InitProducerIdRequest(transactional_id=None, transaction_timeout_ms=0x7FFF_FFFF)
        self.network.send(now, node, INIT_PRODUCER_ID, request, self._on_producer_id, version=5)

    def _on_producer_id(self, now: Micros, response: InitProducerIdResponse | Lost) -> None:
        idempotence = self.idempotence
        assert idempotence is not None, "only an idempotent producer asks"
        if not isinstance(response, Lost) and response.error_code == errors.NONE:
            idempotence.take_id(response.producer_id, response.producer_epoch)
        elif isinstance(response, Lost) or response.error_code in errors.RETRIABLE:
            idempotence.state = IdempotenceState.UNINITIALIZED
            self._ask_id_at = Micros(now + millis(self.settings["retry.backoff.ms"]))
        else:
            idempotence.fail(response.error_code)

    def _send_ready(self, now: Micros) -> int:
        """Drain to every broker that has something ready; when to look again."""
        wake = int(FAR)
        ready: dict[int, None] = {}
        late: dict[int, None] = {}
        for tp, queue in self.accumulator.queues.items():
            batch, leader = queue[0], self.metadata.leader(tp)
            if leader is None:
                self.metadata.request_update(now)
                continue
            if tp in self._muted:
                continue
            self._note_leader(batch, leader)
            at = self._ready_at(batch, is_last=len(queue) == 1)
            if at > now:
                wake = min(wake, at)
            elif not self.network.is_ready(now, leader.id):
                wake = min(wake, self.network.wake_at(leader.id))
                late[leader.id] = None
            elif self.network.in_flight(leader.id) < self.settings["max.in.flight.requests.per.connection"]:
                ready[leader.id] = None
            else:
                late[leader.id] = None
        self.availability.note(now, ready, late)
        for node in ready:
            self._drain(now, node)
        return wake

    def _note_leader(self, batch: ProducerBatch, leader: Leader) -> None:
        if leader.epoch > batch.leader_epoch:
            batch.leader_epoch = leader.epoch
            batch.attempts_at_leader_change = batch.attempts

    def _ready_at(self, batch: ProducerBatch, *, is_last: bool) -> int:
        """From when on a batch may be sent: after linger unless it is full, after a backoff when it failed before.

        A newer leader ends the backoff (KIP-951).
        """
        if batch.attempts and batch.attempts != batch.attempts_at_leader_change:
            return batch.retry_at
        full = batch.is_full or not is_last or bool(self.waiting_for_all) or batch.attempts > 0
        full = full or self.accumulator.pool.is_exhausted
        return batch.created if full else batch.created + self.accumulator.linger

    def _drain(self, now: Micros, node: int) -> None:
        """One batch of each partition that this broker leads, within max.request.size, in one request."""
        mine = [tp for tp in self.accumulator.queues if self._leads(node, tp)]
        start = self._drain_from.get(node, 0) % len(mine) if mine else 0
        self._drain_from[node] = start + 1
        batches: list[ProducerBatch] = []
        size = 0
        for tp in mine[start:] + mine[:start]:
            batch = self.accumulator.queues[tp][0]
            if tp in self._muted or (batch.attempts and self._ready_at(batch, is_last=True) > now):
                continue
            if batches and size + batch.size > self.settings["max.request.size"]:
                break
            if self.idempotence is not None and self.idempotence.must_wait(batch):
                break
            size += batch.size
            batches.append(self.accumulator.take(tp))
        if batches:
            self._request(now, node, batches)

    def _leads(self, node: int, tp: TopicPartition) -> bool:
        leader = self.metadata.leader(tp)
        return leader is not None and leader.id == node

    def _request(self, now: Micros, node: int, batches: list[ProducerBatch]) -> None:
        topics: dict[str, list[PartitionProduceData]] = {}
        for batch in batches:
            if self.idempotence is not None:
                self.idempotence.give_sequence(batch)
            if self.settings["max.in.flight.requests.per.connection"] == 1:
                self._muted[batch.tp] = None
            data = batch.builder.close(
                producer_id=batch.producer_id,
                producer_epoch=batch.producer_epoch,
                base_sequence=batch.base_sequence,
            )
            self.accumulator.note_compressed(batch, data)
            topics.setdefault(batch.tp.topic, []).append(PartitionProduceData(index=batch.tp.partition, records=data))
        ids = {topic: self.metadata.topic_ids.get(topic, ZERO_UUID) for topic in topics}
        version = 12 if ZERO_UUID in ids.values() else 13
        request = ProduceRequest(
            acks=self.settings["acks"],
            timeout_ms=self.settings["request.timeout.ms"],
            topic_data=tuple(
                TopicProduceData(name=t if version < 13 else "", topic_id=ids[t], partition_data=tuple(data))
                for t, data in topics.items()
            ),
        )
        if self.settings["acks"] == 0:
            self.network.send(now, node, PRODUCE, request, None, version=version)
            for batch in batches:
                self._succeed(batch, -1, -1)
            return
        names = {id_: topic for topic, id_ in ids.items()} if version >= 13 else {}
        self.network.send(now, node, PRODUCE, request, self._on_produced(batches, names), version=version)

    def _on_produced(
        self, batches: list[ProducerBatch], names: dict[Uuid, str]
    ) -> Callable[[Micros, ProduceResponse | Lost], None]:
        """``names``: of the topics that were asked for by their ids."""

        def answered(now: Micros, response: ProduceResponse | Lost) -> None:
            if isinstance(response, Lost):
                error = errors.REQUEST_TIMED_OUT if response.timed_out else errors.NETWORK_EXCEPTION
                for batch in batches:
                    self._complete(now, batch, PartitionProduceResponse(error_code=error, base_offset=-1))
                return
            found = {
                TopicPartition(names.get(topic.topic_id, topic.name), answer.index): answer
                for topic in response.responses
                for answer in topic.partition_responses
            }
            for batch in batches:
                self._complete(now, batch, found[batch.tp])

        return answered

    # ------------------------------------------------------------------------------ answers

    def _complete(self, now: Micros, batch: ProducerBatch, answer: PartitionProduceResponse) -> None:
        error = answer.error_code
        self._muted.pop(batch.tp, None)
        if batch.done:
            self.accumulator.free(batch)
            if error == errors.NONE and self.idempotence is not None:
                self.idempotence.completed(batch, answer.base_offset)
            return
        if error in (errors.NONE, errors.DUPLICATE_SEQUENCE_NUMBER):
            self._succeed(batch, answer.base_offset, answer.log_append_time_ms)
        elif error == errors.MESSAGE_TOO_LARGE and batch.count > 1:
            self._split(batch)
        elif self._can_retry(now, batch, error):
            self._retry(now, batch, error)
        else:
            final = batch.attempts < self.settings["retries"]
            why = "it cannot be retried" if final else f"it was sent again {batch.attempts} times, retries says no more"
            self._fail(batch, error, final_answer=final, why=answer.error_message or why, wrong=answer.record_errors)
        if error in errors.INVALID_METADATA:
            hint = answer.current_leader
            self.metadata.hint(batch.tp, Leader(hint.leader_id, hint.leader_epoch))
            self.metadata.request_update(now)

    def _can_retry(self, now: Micros, batch: ProducerBatch, error: int) -> bool:
        if now - batch.created >= self._delivery_timeout or batch.attempts >= self.settings["retries"]:
            return False
        return error in errors.RETRIABLE if self.idempotence is None else self.idempotence.can_retry(batch, error)

    def _retry(self, now: Micros, batch: ProducerBatch, error: int) -> None:
        batch.attempts += 1
        batch.retry_at = Micros(now + self._backoff.after(batch.attempts - 1))
        left = (batch.created + self._delivery_timeout - now) // 1_000
        why = because(facts.RETRY, error=errors.name(error), attempt=batch.attempts, left_ms=left)
        self.outbox.happened(
            facts.BatchRetried(
                topic=batch.tp.topic,
                partition=batch.tp.partition,
                records=batch.count,
                base_sequence=batch.base_sequence,
                because=why,
            ),
            batch.event,
        )
        self.accumulator.put_back(batch)

    def _split(self, batch: ProducerBatch) -> None:
        """Too large for the topic: its records go into smaller batches, in their order."""
        parts = self.accumulator.split(batch)
        if self.idempotence is not None:
            self.idempotence.split(batch, parts)
        for part in reversed(parts):
            self.accumulator.put_back(part)

    def _succeed(self, batch: ProducerBatch, base_offset: int, append_time: int) -> None:
        if self.idempotence is not None:
            self.idempotence.completed(batch, base_offset)
        self.accumulator.remove(batch)
        answers = []
        for number, (call, timestamp) in enumerate(batch.calls):
            offset = base_offset + number if base_offset >= 0 else -1
            if self.outbox.heard >= STATE:
                self.outbox.happened(
                    facts.SendAcknowledged(
                        send=int(call), topic=batch.tp.topic, partition=batch.tp.partition, offset=offset
                    ),
                    batch.event,
                )
            time = append_time if append_time >= 0 else timestamp
            answers.append((call, calls.RecordMetadata(*batch.tp, offset, time)))
        if self.hooks:
            for call, metadata in answers:
                self.hooks.answered(call, metadata, None)
        for call, metadata in answers:
            self.outbox.answer_call(call, metadata)
        self.answer_waiting()

    def _fail(
        self,
        batch: ProducerBatch,
        error: int,
        *,
        final_answer: bool,
        why: str,
        wrong: tuple[BatchIndexAndErrorMessage, ...] = (),
    ) -> None:
        """``wrong``: the records that are to blame; the others fail because they were sent with them."""
        if self.idempotence is not None:
            self.idempotence.failed(batch, error, final_answer=final_answer)
        reason = because(facts.GIVE_UP, error=errors.name(error), why=why)
        blamed = {
            one.batch_index: KafkaError(
                error if len(wrong) == 1 else errors.INVALID_RECORD, one.batch_index_error_message
            )
            for one in wrong
        }
        other = KafkaError(errors.UNKNOWN_SERVER_ERROR, NOT_TO_BLAME) if blamed else KafkaError(error, why)
        self._give_up(batch, other, reason, blamed)

    def _give_up(
        self,
        batch: ProducerBatch,
        error: Exception,
        reason: Any,
        blamed: Mapping[int, Exception] = NOBODY,
        *,
        in_flight: bool = False,
    ) -> None:
        self.accumulator.remove(batch, in_flight=in_flight)
        self.outbox.happened(
            facts.BatchGivenUp(topic=batch.tp.topic, partition=batch.tp.partition, records=batch.count, because=reason),
            batch.event,
        )
        for number, (call, _) in enumerate(batch.calls):
            self.state_failure(call, batch.tp.topic, batch.tp.partition, blamed.get(number, error))
        if self.hooks:
            for number, (call, _) in enumerate(batch.calls):
                self.hooks.answered(call, calls.RecordMetadata(*batch.tp, -1, -1), blamed.get(number, error))
        for number, (call, _) in enumerate(batch.calls):
            self.outbox.answer_call(call, blamed.get(number, error))
        self.answer_waiting()

    def state_failure(self, call: CallId, topic: str, partition: int, error: Exception) -> None:
        if self.outbox.heard >= STATE:
            name = error.name if isinstance(error, KafkaError) else type(error).__name__
            self.outbox.happened(facts.SendFailed(send=int(call), topic=topic, partition=partition, error=name))

    def _expire(self, now: Micros) -> None:
        """Batches older than delivery.timeout.ms, sent or not."""
        timeout = self.settings["delivery.timeout.ms"]
        for batch in list(self.accumulator.incomplete.values()):
            if now - batch.created < self._delivery_timeout:
                return
            if self.idempotence is not None:
                in_flight_once = batch.has_sequence and batch.attempts == 0
                self.idempotence.failed(batch, errors.REQUEST_TIMED_OUT, final_answer=False)
                if not in_flight_once and batch.has_sequence:
                    self.idempotence.expired_after_retry(batch)
            text = (
                f"Expiring {batch.count} record(s) for {batch.tp}:{timeout} ms has passed since batch creation. "
                "The request has not been sent, or no server response has been received yet."
            )
            sent = batch not in self.accumulator.queues.get(batch.tp, ())
            self._give_up(batch, KafkaTimeoutError(text), because(facts.EXPIRED, timeout_ms=timeout), in_flight=sent)

    def answer_waiting(self) -> None:
        """Flush and close are answered when all that was there before them has its answer."""
        still = []
        for call, batches in self.waiting_for_all:
            if all(batch.done for batch in batches.values()) and not self.has_blocked:
                self.outbox.answer_call(call, None)
            else:
                still.append((call, batches))
        self.waiting_for_all = still
