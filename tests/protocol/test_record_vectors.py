"""Our record batches against what Kafka 4.3's own classes make and read."""

from __future__ import annotations

import json
from pathlib import Path

import google_crc32c
import pytest

from kafsim.protocol import uuid
from kafsim.protocol.records import batch, compression, control, old
from kafsim.protocol.records.errors import CorruptRecord, Decompression, InvalidRecord, RecordError
from kafsim.protocol.records.record import BatchBuilder, iterate_batch
from kafsim.protocol.records.varint import decode_signed, decode_unsigned, encode_signed, encode_unsigned

VECTORS = Path(__file__).parent.parent / "data" / "vectors"


def vectors(name):
    return [json.loads(line) for line in (VECTORS / f"{name}.jsonl").read_text().splitlines()]


def by_name(name):
    return [pytest.param(vector, id=vector["name"]) for vector in vectors(name)]


def unhex(text):
    return None if text is None else bytes.fromhex(text)


def records_of(data, span):
    return old.iterate(data, span.position, span.size) if span.magic < 2 else iterate_batch(data, span.position)


def seen(record, head):
    found = {
        "offset": record.offset,
        "timestamp": record.timestamp,
        "sequence": record.sequence,
        "size": record.size,
        "key": None if record.key is None else record.key.hex(),
        "value": None if record.value is None else record.value.hex(),
        "headers": [[name, None if value is None else value.hex()] for name, value in record.headers],
    }
    if head is not None and head.is_control:
        type_ = control.control_type(record.key)
        found["control"] = {"type": control.NAMES[type_], "type_id": type_}
        if type_ in (control.ABORT, control.COMMIT):
            found["control"]["coordinator_epoch"] = control.coordinator_epoch(record.value)
    return found


@pytest.mark.parametrize("vector", by_name("record_batches"))
def test_batches_are_read_as_kafka_reads_them(vector):
    data = bytes.fromhex(vector["hex"])
    spans = list(batch.spans_in_memory(data))
    assert [(s.size, s.magic) for s in spans] == [(b["size"], b["magic"]) for b in vector["batches"]]
    for span, expected in zip(spans, vector["batches"], strict=True):
        (old if span.magic < 2 else batch).ensure_valid(data, span.position, span.size)
        head = batch.header(data, span.position) if span.magic == 2 else None
        found = [seen(record, head) for record in records_of(data, span)]
        for record, wanted in zip(found, expected["records"], strict=True):
            wanted["headers"] = [list(h.values()) if isinstance(h, dict) else h for h in wanted["headers"]]
            if "control" in wanted:
                wanted["control"] = {k: v for k, v in wanted["control"].items() if k in record["control"]}
            assert record == wanted
        if head is not None:
            check_header(head, expected)


def check_header(head, expected):
    assert head.base_offset == expected["base_offset"]
    assert head.last_offset == expected["last_offset"]
    assert head.next_offset == expected["next_offset"]
    assert head.crc == expected["crc"]
    assert compression.NAMES[head.codec] == expected["compression"]
    assert head.leader_epoch == expected["partition_leader_epoch"]
    assert head.attributes == expected["attributes"]
    assert head.base_timestamp == expected["base_timestamp_field"]
    assert head.max_timestamp == expected["max_timestamp"]
    assert head.producer_id == expected["producer_id"]
    assert head.producer_epoch == expected["producer_epoch"]
    assert head.base_sequence == expected["base_sequence"]
    assert head.last_sequence == expected["last_sequence"]
    assert head.record_count == expected["count"]
    assert head.is_transactional == expected["is_transactional"]
    assert head.is_control == expected["is_control"]
    assert head.delete_horizon_ms == expected["delete_horizon_ms"]


@pytest.mark.parametrize("vector", by_name("record_batches"))
def test_batches_are_written_as_kafka_writes_them(vector):
    """Byte for byte; a compressed one is compared by what it holds, since every library compresses in its own way."""
    data = bytes.fromhex(vector["hex"])
    for span in batch.spans_in_memory(data):
        original = data[span.position : span.position + span.size]
        if span.magic < 2 or "gaps" in vector["name"]:
            continue
        head, records = batch.header(original), list(iterate_batch(original))
        builder = BatchBuilder(head.codec)
        timestamps = [head.base_timestamp + t for t in deltas(original, head)]
        for record, timestamp in zip(records, timestamps, strict=True):
            builder.append(timestamp, record.key, record.value, record.headers)
        rebuilt = builder.close(
            producer_id=head.producer_id,
            producer_epoch=head.producer_epoch,
            base_sequence=head.base_sequence,
            attributes=head.attributes & ~batch.CODEC_MASK,
            base_offset=head.base_offset,
            leader_epoch=head.leader_epoch,
        )
        if head.attributes & batch.LOG_APPEND_TIME:
            rebuilt = batch.set_max_timestamp(rebuilt, head.attributes, head.max_timestamp)
        if head.codec:
            batch.ensure_valid(rebuilt, 0, len(rebuilt))
            assert [r._replace(size=0) for r in iterate_batch(rebuilt)] == [r._replace(size=0) for r in records]
        else:
            assert rebuilt == original


def deltas(data, head):
    """The timestamp deltas as they are in the batch, which LogAppendTime hides from readers."""
    body = data[batch.OVERHEAD :]
    if head.codec:
        body = compression.decompress(head.codec, body)
    at = 0
    while at < len(body):
        size, at = decode_signed(body, at)
        yield decode_signed(body, at + 1)[0]
        at += size


CLASSES = {
    "org.apache.kafka.common.errors.CorruptRecordException": CorruptRecord,
    "org.apache.kafka.common.InvalidRecordException": InvalidRecord,
}


def outcome(function):
    try:
        return function(), None
    except RecordError as error:
        return None, error


@pytest.mark.parametrize("reader", ["memory", "file"])
@pytest.mark.parametrize("vector", by_name("record_corrupt"))
def test_broken_bytes_are_refused_where_kafka_refuses_them(vector, reader):
    data, expected = bytes.fromhex(vector["hex"]), vector[reader]
    spans, error = [], None
    try:
        for span in batch.spans_in_memory(data) if reader == "memory" else batch.spans_in_file(data):
            spans.append(span)
    except RecordError as trouble:
        error = trouble
    same_error(error, expected["iterator_error"])
    assert [(s.size, s.magic) for s in spans] == [(b["size"], b["magic"]) for b in expected["batches"]]
    for span, wanted in zip(spans, expected["batches"], strict=True):
        check = old.ensure_valid if span.magic < 2 else batch.ensure_valid
        same_error(outcome(lambda c=check, s=span: c(data, s.position, s.size))[1], wanted["ensure_valid"])
        read, trouble = [], None
        try:
            for record in records_of(data, span):
                read.append(record)
        except RecordError as caught:
            trouble = caught
        same_error(trouble, wanted["records_error"])
        if not isinstance(trouble, Decompression):  # Kafka decompresses as it reads, we the whole batch
            assert len(read) == wanted["records_read"]


def same_error(error, expected):
    if expected is None:
        assert error is None
        return
    wanted = CLASSES.get(expected["class"], RecordError)
    assert isinstance(error, wanted), f"{expected} but {error!r}"
    if wanted is not RecordError:
        assert str(error) == expected["message"]


@pytest.mark.parametrize("vector", vectors("crc32c"), ids=lambda v: v["name"])
def test_crc32c(vector):
    assert google_crc32c.value(bytes.fromhex(vector["hex"])) == vector["crc32c"]


@pytest.mark.parametrize("vector", vectors("varint"), ids=lambda v: str(v["value"]))
def test_varints(vector):
    value = vector["value"]
    if vector.get("zigzag_varlong") is not None:
        assert encode_signed(value).hex() == vector["zigzag_varlong"]
        assert decode_signed(bytes.fromhex(vector["zigzag_varlong"]), 0)[0] == value
    if vector.get("unsigned_varint") is not None:
        assert encode_unsigned(value).hex() == vector["unsigned_varint"]
        assert decode_unsigned(bytes.fromhex(vector["unsigned_varint"]), 0)[0] == value & 0xFFFFFFFF


@pytest.mark.parametrize("vector", vectors("sequence"), ids=lambda v: f"{v['sequence']}+{v['delta']}")
def test_sequences_wrap(vector):
    up = batch.increment_sequence(vector["sequence"], vector["delta"])
    assert up == vector["increment"]
    assert batch.decrement_sequence(up, vector["delta"]) == vector["decrement_of_result"]


@pytest.mark.parametrize("vector", vectors("uuid"), ids=lambda v: v["text"])
def test_uuids(vector):
    assert uuid.to_text(bytes.fromhex(vector["hex"])) == vector["text"]
    assert uuid.from_text(vector["text"]).hex() == vector["hex"]
