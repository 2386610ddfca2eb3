"""Orders of Java collections, as Kafka's answers showed them."""

from __future__ import annotations

from kafsim.protocol.java import hash_order, timeline_order


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
