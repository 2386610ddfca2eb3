"""DescribeQuorum: the leader tells how far voters and observers are (Kafka: ``RaftUtil``, KIP-836)."""

from __future__ import annotations

from kafsim.controller.raft.leader_state import ReplicaProgress
from kafsim.controller.raft.messages import TOPIC
from kafsim.controller.raft.raft_client import RaftClient
from kafsim.controller.raft.voter_set import LISTENER, PORT
from kafsim.protocol import errors
from kafsim.protocol.messages.describe_quorum import (
    DescribeQuorumRequest,
    DescribeQuorumResponse,
    Listener,
    Node,
    PartitionDataResult,
    ReplicaState,
    TopicDataResult,
)
from kafsim.protocol.types import Micros


def describe_quorum(now: Micros, raft: RaftClient, request: DescribeQuorumRequest) -> DescribeQuorumResponse:
    """NOT_LEADER_OR_FOLLOWER from any other node than the leader; only the metadata partition is known."""
    asked = [(topic.topic_name, p.partition_index) for topic in request.topics for p in topic.partitions]
    if asked != [(TOPIC, 0)]:
        return DescribeQuorumResponse(
            topics=tuple(_refused(name, index, errors.UNKNOWN_TOPIC_OR_PARTITION) for name, index in asked)
        )
    state = raft.leader
    if state is None:
        return DescribeQuorumResponse(topics=(_refused(TOPIC, 0, errors.NOT_LEADER_OR_FOLLOWER),))
    partition = PartitionDataResult(
        leader_id=raft.me.id,
        leader_epoch=state.epoch,
        high_watermark=state.high_watermark,
        current_voters=tuple(_replica(now, raft, progress) for progress in state.voters.values()),
        observers=tuple(_replica(now, raft, progress) for progress in state.active_observers(now)),
    )
    nodes = tuple(
        Node(node_id=voter.key.id, listeners=(Listener(name=LISTENER, host=str(voter.address), port=PORT),))
        for voter in raft.log.voters.by_id.values()
    )
    return DescribeQuorumResponse(topics=(TopicDataResult(topic_name=TOPIC, partitions=(partition,)),), nodes=nodes)


_TEXTS = {
    errors.UNKNOWN_TOPIC_OR_PARTITION: "This server does not host this topic-partition.",
    errors.NOT_LEADER_OR_FOLLOWER: (
        "For requests intended only for the leader, this error indicates that the broker is not the current leader. "
        "For requests intended for any replica, this error indicates that the broker is not a replica of the topic "
        "partition."
    ),
}


def _refused(name: str, index: int, error: int) -> TopicDataResult:
    partition = PartitionDataResult(partition_index=index, error_code=error, error_message=_TEXTS[error])
    return TopicDataResult(topic_name=name, partitions=(partition,))


def _replica(now: Micros, raft: RaftClient, progress: ReplicaProgress) -> ReplicaState:
    """Times by the leader's wall clock; the leader's own are now."""
    mine = progress.key.id == raft.me.id
    wall = raft.given.wall_ms
    fetched, caught_up = (now, now) if mine else (progress.last_fetch, progress.last_caught_up)
    return ReplicaState(
        replica_id=progress.key.id,
        replica_directory_id=progress.key.directory,
        log_end_offset=progress.end,
        last_fetch_timestamp=-1 if fetched < 0 else wall(fetched),
        last_caught_up_timestamp=-1 if caught_up < 0 else wall(caught_up),
    )
