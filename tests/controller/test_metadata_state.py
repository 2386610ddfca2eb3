"""The replicated state: written as records and replayed it is the same; uncommitted records are taken back."""

from __future__ import annotations

from functools import partial
from typing import Any

import attrs
from hypothesis import given
from hypothesis import strategies as st

from kafsim.controller.metadata_state import ELR_FEATURE, MetadataState
from kafsim.protocol.metadata import serde
from kafsim.protocol.metadata.broker_registration_change_record import BrokerRegistrationChangeRecord
from kafsim.protocol.metadata.clear_elr_record import ClearElrRecord
from kafsim.protocol.metadata.config_record import ConfigRecord
from kafsim.protocol.metadata.feature_level_record import FeatureLevelRecord
from kafsim.protocol.metadata.partition_change_record import PartitionChangeRecord
from kafsim.protocol.metadata.partition_record import PartitionRecord
from kafsim.protocol.metadata.producer_ids_record import ProducerIdsRecord
from kafsim.protocol.metadata.register_broker_record import RegisterBrokerRecord
from kafsim.protocol.metadata.remove_topic_record import RemoveTopicRecord
from kafsim.protocol.metadata.topic_record import TopicRecord

TOPICS = tuple(bytes([number]) * 16 for number in (1, 2))
replicas = st.lists(st.integers(1, 3), unique=True, max_size=3).map(tuple)
topics = st.sampled_from(TOPICS)


def _create(topic_id: bytes, isr: tuple[int, ...], partitions: int) -> list[Any]:
    made = [TopicRecord(name=f"t{topic_id[0]}", topic_id=topic_id)]
    for index in range(partitions):
        made.append(
            PartitionRecord(
                partition_id=index,
                topic_id=topic_id,
                replicas=(1, 2, 3),
                isr=isr or (1,),
                removing_replicas=(),
                adding_replicas=(),
                leader=1,
                leader_epoch=0,
                partition_epoch=0,
                directories=(b"d" * 16,) * 3,
            )
        )
    return made


steps = st.one_of(
    st.builds(_create, topics, replicas, st.integers(1, 3)),
    st.builds(lambda topic_id: [RemoveTopicRecord(topic_id=topic_id)], topics),
    st.builds(
        lambda topic_id, index, isr, elr, leader: [
            PartitionChangeRecord(
                partition_id=index, topic_id=topic_id, isr=isr, eligible_leader_replicas=elr, leader=leader
            )
        ],
        topics,
        st.integers(0, 2),
        replicas,
        replicas,
        st.integers(-2, 3),
    ),
    st.builds(
        lambda id_, epoch, rack: [
            RegisterBrokerRecord(broker_id=id_, broker_epoch=epoch, incarnation_id=b"i" * 16, rack=rack)
        ],
        st.integers(1, 3),
        st.integers(0, 99),
        st.sampled_from((None, "r")),
    ),
    st.builds(
        lambda id_, fenced: [BrokerRegistrationChangeRecord(broker_id=id_, broker_epoch=0, fenced=fenced)],
        st.integers(1, 3),
        st.sampled_from((-1, 1)),
    ),
    st.builds(
        lambda name, value: [ConfigRecord(resource_type=2, resource_name="t1", name=name, value=value)],
        st.sampled_from(("retention.ms", "min.insync.replicas")),
        st.sampled_from(("1", "2", None)),
    ),
    st.builds(lambda level: [FeatureLevelRecord(name=ELR_FEATURE, feature_level=level)], st.integers(0, 1)),
    st.builds(lambda n: [ProducerIdsRecord(broker_id=1, broker_epoch=1, next_producer_id=n)], st.integers(0, 9)),
    st.just([ClearElrRecord(topic_name="t1")]),
)


def _apply(state: MetadataState, script: list[list[Any]], offset: int = 0) -> int:
    for step in script:
        if not _fits(state, step[0]):
            continue
        for record in map(partial(_current, state), step):
            if state.journal.offset is not None:
                state.journal.offset = offset
            state.replay(record, offset)
            offset += 1
    return offset


def _current(state: MetadataState, record: Any) -> Any:
    """A change of a registration names the broker epoch that is registered."""
    if isinstance(record, BrokerRegistrationChangeRecord):
        return attrs.evolve(record, broker_epoch=state.brokers[record.broker_id].epoch)
    return record


def _fits(state: MetadataState, first: Any) -> bool:
    """Would a controller write this now?"""
    match first:
        case TopicRecord():
            return first.topic_id not in state.topic_names
        case RemoveTopicRecord():
            return first.topic_id in state.topic_names
        case PartitionChangeRecord():
            return (first.topic_id, first.partition_id) in state.partitions
        case BrokerRegistrationChangeRecord():
            return first.broker_id in state.brokers
        case ConfigRecord():
            return first.value is not None or first.name in state.config(2, "t1")
    return True


def _content(state: MetadataState) -> list[dict[Any, Any]]:
    tables = ("topic_ids", "topic_names", "partitions", "configs", "features", "next_producer_id")
    brokers = {id_: attrs.evolve(broker, registered_at=0) for id_, broker in state.brokers.items()}
    return [brokers, *(dict(getattr(state, name).items()) for name in tables)]


@given(st.lists(steps, max_size=25))
def test_the_records_of_a_state_make_the_same_state(script: list[list[Any]]) -> None:
    state, copy = MetadataState(), MetadataState()
    _apply(state, [_create(TOPICS[0], (1, 2), 3), *script])
    for offset, record in enumerate(state.records()):
        copy.replay(serde.decode(serde.encode(record))[0], offset)
    assert _content(copy) == _content(state)


@given(st.lists(steps, max_size=15), st.lists(steps, max_size=15))
def test_what_was_not_committed_is_taken_back(committed: list[list[Any]], tried: list[list[Any]]) -> None:
    state = MetadataState()
    offset = _apply(state, committed)
    before = _content(state)
    counts = dict(state.partition_counts.items())
    state.journal.offset = offset
    _apply(state, tried, offset)
    state.journal.revert()
    assert _content(state) == before
    assert dict(state.partition_counts.items()) == counts
