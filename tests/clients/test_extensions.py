"""Callbacks, interceptors and partitioners of one's own: when they are called, and what their errors do."""

from __future__ import annotations

from typing import Any

import attrs
import pytest

from kafsim import simulate
from kafsim.clients.calls import ConsumerRecord, RecordMetadata, Send
from kafsim.clients.errors import KafkaError
from kafsim.clients.extensions import ConsumerInterceptor, Partitioner, ProducerInterceptor
from kafsim.cluster.cluster import Cluster


class Noting(ProducerInterceptor):
    """Writes down what it sees, and puts its mark at the end of values."""

    def __init__(self, name: str, seen: list[Any], *, breaks: bool = False) -> None:
        self.name, self.seen, self.breaks = name, seen, breaks

    def on_send(self, record: Send) -> Send:
        if self.breaks:
            raise RuntimeError("broken")
        return attrs.evolve(record, value=(record.value or b"") + self.name.encode())

    def on_acknowledgement(self, metadata: RecordMetadata, error: Exception | None) -> None:
        self.seen.append((self.name, metadata.partition, metadata.offset, type(error).__name__))
        if self.breaks:
            raise RuntimeError("broken")


def _run(story, **options: Any) -> None:
    run = simulate(story, brokers=1, settle=False, **options)
    assert run.violations == ()


def test_all_callbacks_of_a_batch_come_before_any_answer_of_it_interceptors_first() -> None:
    seen: list[Any] = []

    async def story(cluster: Cluster) -> None:
        await cluster.admin.create_topic("t", partitions=1)
        producer = cluster.producer(linger_ms=50, interceptors=[Noting("a", seen)])
        sent = []

        def called(metadata: RecordMetadata, error: Exception | None) -> None:
            seen.append(("callback", metadata.offset, error, [one.done for one in sent]))

        sent += [producer.send("t", str(i), callback=called) for i in range(2)]
        for one in sent:
            await one

    _run(story)
    assert seen == [
        ("a", 0, 0, "NoneType"),
        ("callback", 0, None, [False, False]),
        ("a", 0, 1, "NoneType"),
        ("callback", 1, None, [False, False]),
    ]


def test_interceptors_see_each_others_records_and_break_nothing() -> None:
    seen: list[Any] = []

    async def story(cluster: Cluster) -> None:
        await cluster.admin.create_topic("t", partitions=1)
        interceptors = [Noting("a", seen), Noting("b", seen, breaks=True), Noting("c", seen)]
        producer = cluster.producer(linger_ms=0, interceptors=interceptors)
        await producer.send("t", "x", callback=lambda *_: 1 / 0)
        reader = cluster.consumer(auto_offset_reset="earliest")
        await reader.assign(["t-0"])
        assert (await reader.getone()).value == b"xac"

    _run(story)
    assert [name for name, *_ in seen] == ["a", "b", "c"]


def test_a_record_that_is_refused_at_once_tells_its_callback_first() -> None:
    seen: list[Any] = []

    async def story(cluster: Cluster) -> None:
        await cluster.admin.create_topic("t", partitions=1)
        producer = cluster.producer(max_request_size=100, interceptors=[Noting("a", seen)])
        with pytest.raises(KafkaError, match=r"max\.request\.size"):
            await producer.send("t", "x" * 200, callback=lambda m, e: seen.append(("callback", m.offset, e.name)))
        with pytest.raises(ZeroDivisionError):  # as in Kafka it comes out of send
            await producer.send("t", "x" * 200, callback=lambda *_: 1 / 0)

    _run(story)
    assert seen == [("callback", -1, "MESSAGE_TOO_LARGE"), ("a", -1, -1, "KafkaError")]


def test_a_batch_that_fails_tells_every_callback() -> None:
    seen: list[Any] = []

    async def story(cluster: Cluster) -> None:
        await cluster.admin.create_topic("t", partitions=1, configs={"max.message.bytes": 100})
        producer = cluster.producer(linger_ms=0, interceptors=[Noting("a", seen)])
        with pytest.raises(KafkaError):
            await producer.send("t", "x" * 200, callback=lambda m, e: seen.append((m.partition, m.offset, e.name)))

    _run(story)
    assert seen == [("a", 0, -1, "KafkaError"), (0, -1, "MESSAGE_TOO_LARGE")]


class Last(Partitioner):
    def partition(
        self, topic: str, key: bytes | None, value: bytes | None, partitions: int, available: list[int]
    ) -> int:
        return -3 if value == b"bad" else partitions - 1


def test_a_partitioner_chooses_unless_the_record_names_a_partition() -> None:
    async def story(cluster: Cluster) -> None:
        await cluster.admin.create_topic("t", partitions=3)
        producer = cluster.producer(linger_ms=0, partitioner=Last())
        assert (await producer.send("t", "x", key="k")).partition == 2
        assert (await producer.send("t", "x", partition=1)).partition == 1
        with pytest.raises(ValueError, match="invalid partition number: -3"):
            await producer.send("t", "bad")

    _run(story)


class Shouting(ConsumerInterceptor):
    def on_consume(self, records: tuple[ConsumerRecord, ...]) -> tuple[ConsumerRecord, ...]:
        return tuple(attrs.evolve(record, value=(record.value or b"").upper()) for record in records)


class Broken(ConsumerInterceptor):
    def on_consume(self, records: tuple[ConsumerRecord, ...]) -> tuple[ConsumerRecord, ...]:
        raise RuntimeError("broken")


def test_consumers_interceptors_see_records_before_the_one_who_polls() -> None:
    async def story(cluster: Cluster) -> None:
        await cluster.admin.create_topic("t", partitions=1)
        await cluster.producer(linger_ms=0).send("t", "x")
        reader = cluster.consumer(auto_offset_reset="earliest", interceptors=[Broken(), Shouting()])
        await reader.assign(["t-0"])
        assert (await reader.getone()).value == b"X"

    _run(story)
