"""Fetch (1), version 18, of followers and of consumers.

Behaviour:
* A follower's request tells how far it has come; it is noted once, when the request arrives.
* Answered at once when there is enough data, an error or a diverging epoch; otherwise parked until there is, or until
  max.wait.ms. A new high watermark alone rides with the next answer to a follower (KAFKA-9952).
* Consumers read below the high watermark, followers to the end of the log. A consumer may ask a follower too (KIP-392);
  a leader that knows a better replica for the consumer's rack names it, and gives no records.
* An answer within a session names only partitions with records, an error, or another high watermark or log start.
* Whoever found no room in an answer comes first in the next one, so that no partition starves.
"""

from __future__ import annotations

from typing import NamedTuple

from kafsim.broker.apis import fetch_by_name
from kafsim.broker.fetch_session import CachedPartition, FetchSession, FetchSessionCache, ParkedFetch, PartitionKey
from kafsim.broker.partition import Partition
from kafsim.broker.replica_manager import ReplicaManager
from kafsim.broker.replica_selector import ReplicaSelector
from kafsim.protocol import errors
from kafsim.protocol.deadlines import Deadlines
from kafsim.protocol.effects import Outbox
from kafsim.protocol.facts.broker import ReplicationThrottled
from kafsim.protocol.files import DiskError
from kafsim.protocol.messages.fetch import (
    EpochEndOffset,
    FetchableTopicResponse,
    FetchRequest,
    FetchResponse,
    LeaderIdAndEpoch,
    PartitionData,
)
from kafsim.protocol.types import ConnectionId, Header, Micros, millis
from kafsim.protocol.uuid import Uuid
from kafsim.protocol.wire import codec
from kafsim.storage.log import Log

TIMER = "fetch-purgatory"
NO_DIVERGENCE = EpochEndOffset()
NO_SUCH_EPOCH = EpochEndOffset(epoch=-1, end_offset=-2)
"""The epoch fetched last is not known here."""
NO_LEADER = LeaderIdAndEpoch()
UNKNOWN = (errors.UNKNOWN_TOPIC_ID, errors.UNKNOWN_TOPIC_OR_PARTITION)
STORAGE_ERROR_SINCE = 6
EMPTY_SIZE = 4 + len(codec.encode(FetchResponse(), 18))
"""Of an answer that names nothing, with its length."""
FOLLOWERS_SERVE_SINCE = 11
"""The version from which consumers may fetch from followers (KIP-392)."""


class ReadResult(NamedTuple):
    """What reading one partition of a session gave."""

    cached: CachedPartition
    error: int
    high_watermark: int = -1
    log_start: int = -1
    diverging: EpochEndOffset = NO_DIVERGENCE
    records: bytes = b""
    preferred: int = -1
    """The replica that the consumer is to read from."""
    left_out: bool = False
    """There are records, and they did not fit into the answer any more."""
    available: int | None = 0
    """Bytes between the fetch offset and the bound; None when one is on another segment, or behind the other."""

    @property
    def is_settled(self) -> bool:
        """Is there no more to say? What was given may be asked for again without being named again."""
        gave = self.records or self.left_out or self.preferred >= 0 or self.diverging is not NO_DIVERGENCE
        return not self.error and not gave and self.available is not None


class FetchApi:
    """Sessions and parked requests of one broker."""

    def __init__(
        self,
        outbox: Outbox,
        replicas: ReplicaManager,
        sessions: FetchSessionCache,
        max_bytes: int,
        selector: ReplicaSelector,
    ) -> None:
        self._outbox = outbox
        self._selector = selector
        self._replicas = replicas
        self._sessions = sessions
        self._max_bytes = max_bytes
        self._waits: Deadlines[ParkedFetch] = Deadlines(outbox, TIMER)
        self._by_connection: dict[ConnectionId, dict[int, FetchSession]] = {}
        self._woken: dict[int, FetchSession] = {}
        self._unknown: dict[PartitionKey, dict[int, FetchSession]] = {}
        """Sessions that asked for partitions which this broker does not have, or not yet."""

    # --------------------------------------------------------------------------- requests

    def handle(self, now: Micros, connection: ConnectionId, header: Header, request: FetchRequest) -> None:
        if header.version < fetch_by_name.REPLICA_STATE_SINCE:
            request = fetch_by_name.with_ids(request, header.version, self._replicas.topic_id)
        session, ended, error = self._sessions.find(request)
        if ended is not None:
            self._forget(ended)
        if session is None:
            self._outbox.reply(connection, header, FetchResponse(error_code=error, session_id=0))
            return
        session.last_fetch = now
        session.replica_epoch = request.replica_state.replica_epoch
        session.leader_only = session.is_follower or header.version < FOLLOWERS_SERVE_SINCE
        session.rack = "" if session.leader_only else request.rack_id
        refused = self._update(now, session, request)
        results = self._read(now, session, request, refused)
        if self._is_enough(session, request, results):
            self._answer(now, session, connection, header, results)
            return
        parked = ParkedFetch(connection, header, request, self._outbox.event)
        session.parked = parked
        self._waits.add(Micros(now + millis(request.max_wait_ms)), parked)
        self._by_connection.setdefault(connection, {})[session.number] = session

    def _update(self, now: Micros, session: FetchSession, request: FetchRequest) -> dict[PartitionKey, int]:
        """Note what the request names, and how far a follower has come; the errors that this gives."""
        for key in session.update(request):
            self._unwatch(session, key)
        refused: dict[PartitionKey, int] = {}
        if session.is_follower:
            for key in {**session.dirty, **session.outside}:
                error = self._update_follower(now, session, session.partitions[key])
                if error:
                    refused[key] = error
        return refused

    def _update_follower(self, now: Micros, session: FetchSession, cached: CachedPartition) -> int:
        partition = self._replicas.by_key.get(cached.key)
        asked = cached.asked
        if partition is None or partition.leader is None or partition.check_epoch(asked.current_leader_epoch):
            return errors.NONE
        if self._diverging(partition, cached) is not NO_DIVERGENCE or asked.fetch_offset > partition.log.log_end_offset:
            return errors.NONE
        if asked.fetch_offset < partition.log.log_start_offset:
            return errors.NONE
        return partition.update_follower(now, session.replica_id, asked, session.replica_epoch, session)

    # ---------------------------------------------------------------------------- reading

    def _read(
        self, now: Micros, session: FetchSession, request: FetchRequest, refused: dict[PartitionKey, int]
    ) -> list[ReadResult]:
        """All dirty partitions in order, within the bytes of the request."""
        left = min(request.max_bytes, self._max_bytes)
        results = []
        any_data = False
        for key in list(session.dirty):
            cached = session.partitions.get(key)
            if cached is None:
                continue
            if key in refused:
                results.append(ReadResult(cached, refused[key]))
                continue
            result = self._read_one(session, cached, left, at_least_one=not any_data)
            if self._replicas.quotas.leader.throttled and session.is_follower:
                result = self._throttled(now, session, result)
            left -= len(result.records)
            any_data = any_data or bool(result.records)
            results.append(result)
        return results

    def _read_one(self, session: FetchSession, cached: CachedPartition, left: int, *, at_least_one: bool) -> ReadResult:
        partition = self._replicas.by_key.get(cached.key)
        if partition is None:
            self._unknown.setdefault(cached.key, {})[session.number] = session
            return ReadResult(cached, self._replicas.missing_error(cached.key))
        partition.watchers.setdefault(session.number, session)
        asked, log = cached.asked, partition.log
        error = partition.check_epoch(asked.current_leader_epoch)
        preferred = self._selector.select(partition, session.rack, asked.fetch_offset) if session.rack else None
        if preferred is not None and not error:
            return ReadResult(cached, error, log.high_watermark, log.log_start_offset, preferred=preferred)
        if not error and partition.leader is None and session.leader_only:
            error = errors.NOT_LEADER_OR_FOLLOWER
        diverging = NO_DIVERGENCE if error else self._diverging(partition, cached)
        if diverging is NO_SUCH_EPOCH:
            error = errors.OFFSET_OUT_OF_RANGE
        if error:
            return ReadResult(cached, error)
        if diverging is not NO_DIVERGENCE:
            return ReadResult(cached, errors.NONE, log.high_watermark, log.log_start_offset, diverging)
        bound = self._bound(session, log)
        limit = min(asked.partition_max_bytes, max(left, 0))
        try:
            read = log.read(asked.fetch_offset, limit, bound, at_least_one=at_least_one)
        except DiskError:
            partition.on_disk_error()
            return ReadResult(cached, errors.KAFKA_STORAGE_ERROR)
        if read.error:
            return ReadResult(cached, read.error)
        return ReadResult(
            cached,
            errors.NONE,
            log.high_watermark,
            log.log_start_offset,
            records=read.records,
            left_out=asked.fetch_offset < bound and not read.records,
            available=_available(log, asked.fetch_offset, bound, asked.partition_max_bytes),
        )

    def _bound(self, session: FetchSession, log: Log) -> int:
        """The first offset that is not read: a consumer gets what is committed."""
        if session.is_follower or not self._replicas.safeguards.bound_reads_by_high_watermark:
            return log.log_end_offset
        return log.high_watermark

    def _throttled(self, now: Micros, session: FetchSession, result: ReadResult) -> ReadResult:
        """Without its records while the follower lags and the rate is exceeded; that is no reason to answer either."""
        quota, cached = self._replicas.quotas.leader, result.cached
        partition = self._replicas.by_key.get(cached.key)
        if partition is None or partition.leader is None or not result.records:
            return result
        held, why = quota.judge(now, partition.tp, lags=session.replica_id not in partition.leader.isr.isr)
        if held != cached.held:
            cached.held = held
            self._outbox.happened(ReplicationThrottled(log=partition.name, held=held, because=why))
        return result._replace(records=b"", left_out=True, available=0) if held else result

    def _note_given(self, now: Micros, header: Header, topics: dict[Uuid, list[PartitionData]]) -> None:
        """Throttled partitions of an answer count, in sync or not (Kafka: ``sizeOfThrottledPartitions``)."""
        quota, by_key = self._replicas.quotas.leader, self._replicas.by_key
        if not quota.throttled:
            quota.record(now, EMPTY_SIZE)
            return
        counted: list[FetchableTopicResponse] = []
        for topic_id, given in topics.items():
            hosted = ((data, by_key.get((topic_id, data.partition_index))) for data in given)
            throttled = tuple(data for data, partition in hosted if partition and quota.throttles(partition.tp))
            if throttled:
                counted.append(FetchableTopicResponse(topic_id=topic_id, partitions=throttled))
        version = max(header.version, fetch_by_name.IDS_SINCE)
        quota.record(now, 4 + len(codec.encode(FetchResponse(responses=tuple(counted)), version)))

    def _diverging(self, partition: Partition, cached: CachedPartition) -> EpochEndOffset:
        """Where the epoch that was fetched last ends here, if that log and this one differ."""
        asked = cached.asked
        if asked.last_fetched_epoch < 0 or not self._replicas.safeguards.truncate_on_divergence:
            return NO_DIVERGENCE
        log = partition.log
        if asked.last_fetched_epoch == log.latest_epoch and asked.fetch_offset <= log.log_end_offset:
            return NO_DIVERGENCE
        epoch, end = log.end_offset_for_epoch(asked.last_fetched_epoch)
        if epoch < 0 or end < 0:
            return NO_SUCH_EPOCH
        if asked.fetch_offset < log.log_start_offset:
            return NO_DIVERGENCE
        if epoch < asked.last_fetched_epoch or end < asked.fetch_offset:
            return EpochEndOffset(epoch=epoch, end_offset=end)
        return NO_DIVERGENCE

    def _is_enough(self, session: FetchSession, request: FetchRequest, results: list[ReadResult]) -> bool:
        """Is there nothing to wait for (Kafka: ``fetchMessages``, ``DelayedFetch``)?

        Whoever fetches an older segment, or from behind the bound, is answered at once; a topic that is not known here
        does not count while another partition does.
        """
        if request.max_wait_ms <= 0 or not session.partitions:
            return True
        counted = [r for r in results if r.error not in UNKNOWN]
        if len(session.partitions) == len(results) - len(counted):
            return True
        least = min(request.min_bytes, request.max_bytes, self._max_bytes)
        size = available = 0
        for result in counted:
            if result.error or result.diverging is not NO_DIVERGENCE or result.preferred >= 0:
                return True
            if result.available is None:
                return True
            size += len(result.records)
            available += result.available
        return max(size, available) >= least

    # -------------------------------------------------------------------------- answering

    def _answer(
        self,
        now: Micros,
        session: FetchSession,
        connection: ConnectionId,
        header: Header,
        results: list[ReadResult],
    ) -> None:
        if session.full and session.id:
            evicted = self._sessions.keep(session, now)
            if evicted is not None:
                self._forget(evicted)
        topics: dict[Uuid, list[PartitionData]] = {}
        for result in results:
            if result.error == errors.KAFKA_STORAGE_ERROR and header.version < STORAGE_ERROR_SINCE:
                result = result._replace(error=errors.NOT_LEADER_OR_FOLLOWER)  # noqa: PLW2901
            if self._belongs(session, result):
                topics.setdefault(result.cached.key[0], []).append(self._data(result))
            if result.is_settled:
                session.dirty.pop(result.cached.key, None)
            elif result.records:
                session.dirty.pop(result.cached.key, None)
                session.dirty[result.cached.key] = None  # whoever gave something comes last next time
        responses = tuple(
            FetchableTopicResponse(topic_id=topic_id, partitions=tuple(data)) for topic_id, data in topics.items()
        )
        if session.is_follower:
            self._note_given(now, header, topics)
        response = FetchResponse(session_id=session.id, responses=responses)
        if header.version < fetch_by_name.IDS_SINCE:
            response = fetch_by_name.with_names(response, self._replicas.topic_name)
        self._outbox.reply(connection, header, response)
        if not session.id:
            self._forget(session)

    def _belongs(self, session: FetchSession, result: ReadResult) -> bool:
        """Does this partition go into the answer? Notes what is sent."""
        cached = result.cached
        changed = bool(result.records) or self._is_news(result)
        cached.sent_high_watermark = -1 if result.error else result.high_watermark
        cached.sent_log_start = result.log_start
        return session.full or changed

    def _is_news(self, result: ReadResult) -> bool:
        """Apart from records, is there anything that the fetcher was not told yet?"""
        return (
            result.high_watermark != result.cached.sent_high_watermark
            or result.log_start != result.cached.sent_log_start
            or result.diverging is not NO_DIVERGENCE
            or result.preferred >= 0
            or result.error != errors.NONE
        )

    def _data(self, result: ReadResult) -> PartitionData:
        leader = NO_LEADER
        if result.error in (errors.NOT_LEADER_OR_FOLLOWER, errors.FENCED_LEADER_EPOCH):
            leader = self._replicas.current_leader(result.cached.key)
        return PartitionData(
            partition_index=result.cached.key[1],
            error_code=result.error,
            high_watermark=result.high_watermark,
            last_stable_offset=result.high_watermark,
            log_start_offset=result.log_start,
            diverging_epoch=result.diverging,
            current_leader=leader,
            preferred_read_replica=result.preferred,
            aborted_transactions=None if result.cached.key in self._replicas.by_key else (),
            records=result.records,
        )

    # --------------------------------------------------------------------- parked requests

    def on_opened(self, partition: Partition) -> None:
        """Whoever asked for it already is told of what happens in it, and looked at with its next fetch if it follows.

        That one need not name the partition: the fetch that is parked may settle it, without having been noted.
        """
        key = (partition.topic_id, partition.tp.partition)
        waiting = self._unknown.pop(key, {})
        partition.watchers.update(waiting)
        for session in waiting.values():
            if session.is_follower:
                session.outside[key] = None

    def mark(self, partition: Partition, *, followers: bool, consumers: bool) -> None:
        """Something changed in a partition. Who may now get an answer is looked at before this input ends."""
        for session in partition.watchers.values():
            key = (partition.topic_id, partition.tp.partition)
            session.dirty[key] = None
            wakes = followers if session.is_follower else consumers
            if wakes and session.parked is not None:
                self._woken[session.number] = session

    def complete_woken(self, now: Micros) -> None:
        """Answer parked requests that have enough now; run at the end of each input."""
        while self._woken:
            woken, self._woken = self._woken, {}
            for session in woken.values():
                parked = session.parked
                if parked is None or parked.done:
                    continue
                results = self._read(now, session, parked.request, {})
                if self._is_enough(session, parked.request, results):
                    self._complete(now, session, parked, results)

    def on_timer(self, now: Micros) -> None:
        for parked in self._waits.pop_due(now):
            for session in list(self._by_connection.get(parked.connection, {}).values()):
                if session.parked is parked:
                    self._complete(now, session, parked, self._read(now, session, parked.request, {}))

    def _complete(self, now: Micros, session: FetchSession, parked: ParkedFetch, results: list[ReadResult]) -> None:
        parked.done = True
        session.parked = None
        self._by_connection[parked.connection].pop(session.number, None)
        self._answer(now, session, parked.connection, parked.header, results)

    def on_disconnect(self, connection: ConnectionId) -> None:
        """Nobody waits any more; a session itself outlives its connection."""
        for session in self._by_connection.pop(connection, {}).values():
            if session.parked is not None:
                session.parked.done = True
                session.parked = None

    def _forget(self, session: FetchSession) -> None:
        for key in session.partitions:
            self._unwatch(session, key)

    def _unwatch(self, session: FetchSession, key: PartitionKey) -> None:
        partition = self._replicas.by_key.get(key)
        if partition is not None:
            partition.forget(session)
        waiting = self._unknown.get(key)
        if waiting is not None and waiting.pop(session.number, None) is not None and not waiting:
            del self._unknown[key]


def _available(log: Log, offset: int, bound: int, most: int) -> int | None:
    """How much a fetcher may count on: bytes up to the bound; None when it need not wait for more."""
    if offset >= bound:
        return 0 if offset == bound else None
    size = log.bytes_between(offset, bound)
    return None if size is None else min(size, most)
