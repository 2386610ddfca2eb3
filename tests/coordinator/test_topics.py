"""The hash of the topics of a group is Kafka's."""

from __future__ import annotations

from kafsim.controller.metadata_state import MetadataState
from kafsim.coordinator.topics import Topics, topic_hash
from kafsim.protocol.metadata.partition_record import PartitionRecord
from kafsim.protocol.metadata.register_broker_record import RegisterBrokerRecord
from kafsim.protocol.metadata.topic_record import TopicRecord
from kafsim.protocol.uuid import from_text

RECORDED = 2076931210432878760
"""Of a group that reads the topic "wa", from the log of a real Kafka 4.3: see ``tests/data/segments``."""
WA = from_text("5VunrSTURqem7ePy69Zd2g")
RACKS = ("r1", "r2", "r3")


def _topics() -> Topics:
    state = MetadataState()
    for number, rack in enumerate(RACKS, 1):
        state.replay(RegisterBrokerRecord(broker_id=number, rack=rack), number)
    state.replay(TopicRecord(name="wa", topic_id=WA), 5)
    for index in range(3):
        state.replay(PartitionRecord(topic_id=WA, partition_id=index, replicas=(1, 2, 3), isr=(1, 2, 3)), 6 + index)
    return Topics(state, lambda: 9)


def test_the_hash_is_that_of_a_recorded_group() -> None:
    assert _topics().hash_of(["wa", "not there"]) == RECORDED
    assert _topics().hash_of(["not there"]) == 0


def test_everything_that_an_assignment_hangs_on_changes_it() -> None:
    base = topic_hash("t", WA, [["a"], ["b"]])
    others = (
        topic_hash("u", WA, [["a"], ["b"]]),
        topic_hash("t", bytes(16), [["a"], ["b"]]),
        topic_hash("t", WA, [["a"]]),
        topic_hash("t", WA, [["a"], ["c"]]),
        topic_hash("t", WA, [["a", "b"], []]),
    )
    assert len({base, *others}) == 6
    assert topic_hash("t", WA, [["a", "b"]]) == topic_hash("t", WA, [["b", "a"]])


def test_a_topic_is_new_once() -> None:
    topics = _topics()
    topics.on_changed([WA])
    first, topics.last_new = topics.last_new, 0
    assert first == 9
    assert topics.have_changed(["wa"], 0)
    assert not topics.have_changed(["wa"], topics.changes)
