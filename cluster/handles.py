"""What a story holds of its clients: thin front doors to client actors.

A call is an event of its instant and its answer is one too, so that a kill or a pause of the client treats it like
anything else. Method names are those of aiokafka, settings have Kafka's names.
"""

from __future__ import annotations

from collections.abc import Awaitable, Iterable, Mapping
from typing import Any

from kafsim.clients import calls
from kafsim.clients.calls import ConsumerRecord, OffsetAndTimestamp, PartitionView, RecordMetadata
from kafsim.clients.extensions import Callback, RebalanceListener
from kafsim.clients.group_offsets import OffsetAndMetadata
from kafsim.clients.offsets import EARLIEST, LATEST
from kafsim.cluster import arguments
from kafsim.cluster.node import Node
from kafsim.cluster.waits import Call
from kafsim.cluster.world import World
from kafsim.protocol.types import Micros, TopicPartition


def encode(value: bytes | str | None) -> bytes | None:
    if value is not None and not isinstance(value, (bytes, str)):
        raise TypeError(f"a key or value is bytes, a str or None, not {value!r}")
    return value.encode() if isinstance(value, str) else value


def partition_of(value: TopicPartition | tuple[str, int] | str) -> TopicPartition:
    """``("orders", 0)`` or ``"orders-0"``."""
    if isinstance(value, str):
        return TopicPartition.parse(value)
    return TopicPartition(*value)


class Handle:
    """One client; it may be killed like any other node."""

    def __init__(self, world: World, node: Node) -> None:
        self._world = world
        self.node = node

    @property
    def name(self) -> str:
        return str(self.node.address)

    def _ask(self, request: object, what: str) -> Call:
        return self._world.call(self.node, request, f"{self.name} to {what}")

    def kill(self) -> None:
        """The process of this client is gone; its calls fail with ClientKilled."""
        self.node.kill()


class ProducerHandle(Handle):
    """``send`` gives something to await later; ``send_and_wait`` waits at once."""

    def send(
        self,
        topic: str,
        value: bytes | str | None = None,
        *,
        key: bytes | str | None = None,
        partition: int | None = None,
        timestamp_ms: int | None = None,
        headers: Iterable[tuple[str, bytes | None]] = (),
        callback: Callback | None = None,
    ) -> Pending:
        """``callback`` is called inside the client when the answer comes, before what waits for it goes on."""
        request = calls.Send(
            topic=topic,
            value=encode(value),
            key=encode(key),
            partition=partition,
            timestamp_ms=timestamp_ms,
            headers=tuple(headers),
            callback=callback,
        )
        return Pending(self._ask(request, f"send to {topic}"))

    async def send_and_wait(self, topic: str, value: bytes | str | None = None, **options: Any) -> RecordMetadata:
        sent: RecordMetadata = await self.send(topic, value, **options)
        return sent

    async def flush(self) -> None:
        await self._ask(calls.Flush(), "flush").wait()

    async def stop(self) -> None:
        await self._ask(calls.Close(), "close").wait()


class Pending(Awaitable[RecordMetadata]):
    """The answer to one send; awaiting it raises what the send failed with."""

    def __init__(self, call: Call) -> None:
        self._call = call

    def __await__(self) -> Any:
        return self._call.wait(within=Micros(400_000_000)).__await__()

    @property
    def done(self) -> bool:
        return self._call.parking.done


class ConsumerHandle(Handle):
    """A consumer, whose partitions are assigned by hand or by its group."""

    async def subscribe(
        self, topics: Iterable[str] = (), *, pattern: str | None = None, listener: RebalanceListener | None = None
    ) -> None:
        """Be a member of the group of ``group.id``; ``pattern``: all topics whose whole name matches."""
        given = arguments.topics(topics)
        if bool(given) == (pattern is not None):
            raise TypeError(arguments.SUBSCRIBE)
        pattern = None if pattern is None else arguments.text(pattern, "a pattern")
        await self._ask(calls.Subscribe(given, pattern, arguments.listener(listener)), "subscribe").wait()

    def begin_subscribe(self, topics: Iterable[str]) -> None:
        """Subscribe, without waiting for it."""
        self._ask(calls.Subscribe(arguments.topics(topics)), "subscribe")

    async def unsubscribe(self) -> None:
        """Leave the group."""
        await self._ask(calls.Unsubscribe(), "unsubscribe").wait()

    async def assignment(self) -> tuple[TopicPartition, ...]:
        """What is assigned now."""
        found: tuple[TopicPartition, ...] = await self._ask(calls.LookAtAssignment(), "look").wait()
        return found

    async def commit(self, offsets: Mapping[TopicPartition | tuple[str, int] | str, int] | None = None) -> None:
        """The positions of all partitions, or the next offsets to read of some; raises what it fails with."""
        await self.begin_commit(offsets).wait()

    def begin_commit(self, offsets: Mapping[TopicPartition | tuple[str, int] | str, int] | None = None) -> Call:
        """As :meth:`commit`, without waiting for it."""
        if offsets is None:
            return self._ask(calls.Commit(None), "commit")
        given = {partition_of(tp): OffsetAndMetadata(arguments.offset(o)) for tp, o in offsets.items()}
        return self._ask(calls.Commit(given), "commit")

    async def committed(self, partition: TopicPartition | tuple[str, int] | str) -> int | None:
        """The next offset to read, as committed last; None when there is none."""
        tp = partition_of(partition)
        found: dict[TopicPartition, OffsetAndMetadata] = await self._ask(calls.Committed((tp,)), "ask").wait()
        return found[tp].offset if tp in found else None

    async def stop(self) -> None:
        """Commit what was read, if enable.auto.commit, and leave the group."""
        await self.begin_stop().wait()

    async def assign(self, partitions: Iterable[TopicPartition | tuple[str, int] | str]) -> None:
        await self._ask(calls.Assign(tuple(map(partition_of, partitions))), "assign").wait()

    def begin_assign(self, partitions: Iterable[TopicPartition | tuple[str, int] | str]) -> None:
        """Assign, without waiting for it."""
        self._ask(calls.Assign(tuple(map(partition_of, partitions))), "assign")

    async def seek(
        self, partition: TopicPartition | tuple[str, int] | str, offset: int, *, leader_epoch: int = -1
    ) -> None:
        """``leader_epoch``: of the record before; with it the leader is asked first whether its log has that record."""
        if offset < 0:
            raise ValueError(f"seek offset must not be a negative number, not {offset}")
        await self._ask(calls.Seek(partition_of(partition), offset, leader_epoch), "seek").wait()

    async def seek_to_beginning(self, *partitions: TopicPartition | tuple[str, int] | str) -> None:
        for partition in partitions:
            await self._ask(calls.Seek(partition_of(partition), "earliest"), "seek").wait()

    async def seek_to_end(self, *partitions: TopicPartition | tuple[str, int] | str) -> None:
        for partition in partitions:
            await self._ask(calls.Seek(partition_of(partition), "latest"), "seek").wait()

    async def position(self, partition: TopicPartition | tuple[str, int] | str) -> int:
        tp = partition_of(partition)
        return int(await self._ask(calls.Position(tp), f"find its position in {tp}").wait())

    async def getmany(self, *, timeout_ms: int = 0, max_records: int | None = None) -> tuple[ConsumerRecord, ...]:
        """Records that are there, or that come within the timeout."""
        request = calls.Poll(timeout_ms * 1_000, max_records)
        within = Micros(timeout_ms * 1_000 + 120_000_000)
        records: tuple[ConsumerRecord, ...] = await self._ask(request, "poll").wait(within)
        return records

    def begin_poll(self, *, timeout_ms: float = 0) -> Call:
        """Poll once, without waiting for it; what is read is told by facts."""
        return self._ask(calls.Poll(round(timeout_ms * 1_000), None), "poll")

    def begin_stop(self) -> Call:
        """As :meth:`stop`, without waiting for it."""
        return self._ask(calls.Close(), "close")

    async def getone(self) -> ConsumerRecord:
        """The next record, however long it takes within 120 s."""
        request = calls.Poll(200_000_000, 1)
        records: tuple[ConsumerRecord, ...] = await self._ask(request, "get one record").wait()
        return records[0]

    async def pause(self, *partitions: TopicPartition | tuple[str, int] | str) -> None:
        """Polls give nothing of these partitions until they are resumed."""
        await self._ask(calls.Pause(tuple(map(partition_of, partitions))), "pause").wait()

    async def resume(self, *partitions: TopicPartition | tuple[str, int] | str) -> None:
        await self._ask(calls.Pause(tuple(map(partition_of, partitions)), paused=False), "resume").wait()

    async def look_at(self, partition: TopicPartition | tuple[str, int] | str) -> PartitionView:
        """What the consumer knows of an assigned partition: its position, lag, the replica it reads from."""
        view: PartitionView = await self._ask(calls.LookAt(partition_of(partition)), "look").wait()
        return view

    async def end_offsets(
        self, partitions: Iterable[TopicPartition | tuple[str, int] | str]
    ) -> dict[TopicPartition, int]:
        return await self._bounds(partitions, LATEST)

    async def beginning_offsets(
        self, partitions: Iterable[TopicPartition | tuple[str, int] | str]
    ) -> dict[TopicPartition, int]:
        return await self._bounds(partitions, EARLIEST)

    async def offsets_for_times(
        self, times_ms: Mapping[TopicPartition | tuple[str, int] | str, int]
    ) -> dict[TopicPartition, OffsetAndTimestamp | None]:
        """The first record not before a time; None where there is none."""
        wanted = {partition_of(partition): time for partition, time in times_ms.items()}
        found = await self._offsets(wanted)
        return {tp: answer if answer.offset >= 0 else None for tp, answer in found.items()}

    async def _bounds(
        self, partitions: Iterable[TopicPartition | tuple[str, int] | str], timestamp: int
    ) -> dict[TopicPartition, int]:
        found = await self._offsets({partition_of(partition): timestamp for partition in partitions})
        return {tp: answer.offset for tp, answer in found.items()}

    async def _offsets(self, wanted: dict[TopicPartition, int]) -> dict[TopicPartition, OffsetAndTimestamp]:
        found: dict[TopicPartition, OffsetAndTimestamp] = await self._ask(calls.Offsets(wanted), "find offsets").wait()
        return found
