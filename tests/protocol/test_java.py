"""Orders of Java collections, as Kafka's answers showed them."""

from __future__ import annotations

import json
from pathlib import Path

from kafsim.protocol.java import (
    coordinator_partition,
    hash_order,
    partition_order,
    text_hash,
    text_order,
    timeline_order,
)
from kafsim.protocol.types import TopicPartition

VECTORS = Path(__file__).parents[1] / "data" / "vectors" / "coordinator_partition.jsonl"


def test_a_group_belongs_to_kafkas_partition() -> None:
    for vector in map(json.loads, VECTORS.read_text().splitlines()):
        assert text_hash(vector["id"]) == vector["hash_code"] & 0xFFFF_FFFF
        for count, partition in vector["partition"].items():
            assert coordinator_partition(vector["id"], int(count)) == partition


def test_texts_and_partitions_are_walked_by_their_hashes() -> None:
    """ "Aa" and "BB" have one hash; the others have their code, which is their bucket."""
    assert text_order(["d", "BB", "a", "Aa"]) == ["BB", "Aa", "a", "d"]
    pairs = [TopicPartition("d", 0), TopicPartition("a", 1), TopicPartition("a", 0)]
    assert partition_order(pairs) == sorted(pairs, key=lambda tp: _bucket(31 * (31 + tp.partition) + ord(tp.topic)))


def _bucket(hash_: int) -> int:
    return (hash_ ^ hash_ >> 16) & 15


def test_a_bucket_holds_its_keys_in_the_order_of_their_coming() -> None:
    assert hash_order([1000, 2000, 3000]) == [2000, 1000, 3000]  # DescribeProducers of Apache Kafka 4.3
    assert hash_order([17, 1, 33, 0]) == [0, 17, 1, 33]


def test_the_table_grows_at_three_quarters() -> None:
    assert hash_order([16, *range(11)]) == [16, *range(11)]
    assert hash_order([16, *range(12)]) == [*range(12), 16]


def test_large_keys_fold_their_upper_half() -> None:
    assert hash_order([1 << 32, 0]) == [0, 1 << 32]
    assert hash_order([1 << 16, 0]) == [0, 1 << 16]


def test_a_timeline_map_walks_each_slot_from_its_end() -> None:
    """CreatePartitions takes the replication factor of the first partition of such a map: 2, of four, in Kafka 4.3."""
    assert timeline_order(range(4)) == [2, 0, 1, 3]
