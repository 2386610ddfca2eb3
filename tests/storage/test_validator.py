"""What a leader refuses record by record, and what it compresses anew."""

from __future__ import annotations

import pytest

from kafsim import simulate
from kafsim.clients.errors import KafkaError
from kafsim.cluster.cluster import Cluster
from kafsim.protocol import errors
from kafsim.protocol.records import batch as batches
from kafsim.protocol.records import compression
from kafsim.protocol.records.record import decode_batch, encode_batch
from kafsim.storage import validator
from kafsim.storage.log_config import LogConfig
from kafsim.storage.producer_state import Refused

NOW = 1_000_000


def _batch(*records: tuple[int, bytes | None], codec: int = 0, **fields: int) -> bytes:
    return encode_batch([(timestamp, key, b"v" * 50) for timestamp, key in records], codec=codec, **fields)


def _check(data: bytes, **config: object) -> Refused | None:
    return validator.check(data, batches.header(data), LogConfig(**config), NOW, "t-0")


def test_each_timestamp_is_checked_and_all_that_are_wrong_are_told() -> None:
    data = _batch((NOW, b"k"), (NOW - 5_001, b"k"), (NOW - 5_000, b"k"), (NOW - 9_000, None))
    refused = _check(data, message_timestamp_before_max_ms=5_000)
    assert refused is not None
    assert (refused.error, refused.message) == (errors.INVALID_TIMESTAMP, validator.TIMESTAMPS_REJECTED)
    assert [index for index, _ in refused.record_errors] == [1, 3]
    assert refused.record_errors[0][1] == (
        "Timestamp 994999 of message with offset 1 is out of range. The timestamp should be within [995000, 4600000]"
    )


def test_records_without_a_key_are_told_for_a_compacted_topic() -> None:
    refused = _check(_batch((NOW, b"k"), (NOW, None)), cleanup_policy=("compact",))
    assert refused is not None
    assert refused.error == errors.INVALID_RECORD
    text = "Compacted topic cannot accept message without key in topic partition t-0"
    assert refused.record_errors == ((1, text),)
    assert text in refused.message


@pytest.mark.parametrize("source", [compression.NONE, compression.GZIP])
@pytest.mark.parametrize(("wanted", "target"), [("gzip", compression.GZIP), ("uncompressed", 0), ("producer", None)])
def test_a_batch_gets_the_codec_of_its_topic(source: int, wanted: str, target: int | None) -> None:
    data = _batch((NOW, b"a"), (NOW + 7, None), codec=source, producer_id=5, producer_epoch=1, base_sequence=8)
    head = batches.header(data)
    made = validator.convert(data, head, LogConfig(compression_type=wanted))
    assert isinstance(made, bytes)
    after = batches.header(made)
    assert after.codec == (source if target is None else target)
    assert (made is data) == (after.codec == source)
    assert decode_batch(made) == [
        record._replace(size=size.size) for record, size in zip(decode_batch(data), decode_batch(made), strict=True)
    ]
    assert (after.producer_id, after.producer_epoch, after.base_sequence) == (5, 1, 8)


def test_what_grows_too_large_is_refused() -> None:
    data = _batch(*[(NOW, b"same")] * 50, codec=compression.GZIP)
    made = validator.convert(
        data, batches.header(data), LogConfig(compression_type="uncompressed", max_message_bytes=500)
    )
    assert isinstance(made, Refused)
    assert made.error == errors.MESSAGE_TOO_LARGE


def test_a_producer_tells_each_record_whether_it_was_to_blame() -> None:
    async def story(cluster: Cluster) -> None:
        await cluster.admin.create_topic("t", configs={"cleanup.policy": "compact"})
        producer = cluster.producer(linger_ms=100)
        sent = [producer.send("t", "v", key=key) for key in ("a", None, "b")]
        codes = []
        for one in sent:
            with pytest.raises(KafkaError) as raised:
                await one
            codes.append(raised.value.code)
        assert codes == [errors.UNKNOWN_SERVER_ERROR, errors.INVALID_RECORD, errors.UNKNOWN_SERVER_ERROR]

    simulate(story)


def test_a_topic_with_its_own_codec_is_stored_in_it_on_every_replica() -> None:
    async def story(cluster: Cluster) -> None:
        await cluster.admin.create_topic("t", replication_factor=3, configs={"compression.type": "gzip"})
        await cluster.producer().send_and_wait("t", "v" * 500)
        for view in cluster.replicas("t-0"):
            log = cluster.replica("t-0", view.broker).log
            assert batches.header(log.read(0, 1_000, log.log_end_offset).records).codec == compression.GZIP

    assert simulate(story).ok
