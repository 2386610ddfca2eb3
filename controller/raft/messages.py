"""Requests and responses of the quorum for its one partition (Kafka: ``RaftUtil``)."""

from __future__ import annotations

from typing import Any

from kafsim.controller.raft.snapshots import OffsetAndEpoch
from kafsim.controller.raft.voter_set import LISTENER, PORT, ReplicaKey, Voter
from kafsim.protocol.messages import add_raft_voter as add
from kafsim.protocol.messages import begin_quorum_epoch as begin
from kafsim.protocol.messages import end_quorum_epoch as end
from kafsim.protocol.messages import fetch, vote
from kafsim.protocol.messages import fetch_snapshot as fs
from kafsim.protocol.messages import update_raft_voter as update
from kafsim.protocol.messages.remove_raft_voter import RemoveRaftVoterRequest
from kafsim.protocol.types import Address
from kafsim.protocol.uuid import METADATA_TOPIC_ID

TOPIC = "__cluster_metadata"


def vote_request(
    cluster_id: str, epoch: int, me: ReplicaKey, voter: ReplicaKey, log: OffsetAndEpoch, *, pre_vote: bool
) -> vote.VoteRequest:
    partition = vote.PartitionData(
        replica_epoch=epoch,
        replica_id=me.id,
        replica_directory_id=me.directory,
        voter_directory_id=voter.directory,
        last_offset_epoch=log.epoch,
        last_offset=log.offset,
        pre_vote=pre_vote,
    )
    topic = vote.TopicData(topic_name=TOPIC, partitions=(partition,))
    return vote.VoteRequest(cluster_id=cluster_id, voter_id=voter.id, topics=(topic,))


def vote_response(error: int, leader: int, epoch: int, *, granted: bool) -> vote.VoteResponse:
    partition = vote.PartitionDataResult(error_code=error, leader_id=leader, leader_epoch=epoch, vote_granted=granted)
    return vote.VoteResponse(topics=(vote.TopicDataResult(topic_name=TOPIC, partitions=(partition,)),))


def begin_request(cluster_id: str, epoch: int, leader: int, address: Address, voter: ReplicaKey) -> Any:
    partition = begin.PartitionData(voter_directory_id=voter.directory, leader_id=leader, leader_epoch=epoch)
    return begin.BeginQuorumEpochRequest(
        cluster_id=cluster_id,
        voter_id=voter.id,
        topics=(begin.TopicData(topic_name=TOPIC, partitions=(partition,)),),
        leader_endpoints=(begin.LeaderEndpoint(name=LISTENER, host=str(address), port=PORT),),
    )


def begin_response(error: int, leader: int, epoch: int) -> begin.BeginQuorumEpochResponse:
    partition = begin.PartitionDataResult(error_code=error, leader_id=leader, leader_epoch=epoch)
    return begin.BeginQuorumEpochResponse(topics=(begin.TopicDataResult(topic_name=TOPIC, partitions=(partition,)),))


def end_request(cluster_id: str, epoch: int, leader: int, address: Address, successors: tuple[ReplicaKey, ...]) -> Any:
    candidates = tuple(end.ReplicaInfo(candidate_id=key.id, candidate_directory_id=key.directory) for key in successors)
    partition = end.PartitionData(leader_id=leader, leader_epoch=epoch, preferred_candidates=candidates)
    return end.EndQuorumEpochRequest(
        cluster_id=cluster_id,
        topics=(end.TopicData(topic_name=TOPIC, partitions=(partition,)),),
        leader_endpoints=(end.LeaderEndpoint(name=LISTENER, host=str(address), port=PORT),),
    )


def end_response(error: int, leader: int, epoch: int) -> end.EndQuorumEpochResponse:
    partition = end.PartitionDataResult(error_code=error, leader_id=leader, leader_epoch=epoch)
    return end.EndQuorumEpochResponse(topics=(end.TopicDataResult(topic_name=TOPIC, partitions=(partition,)),))


def fetch_request(
    cluster_id: str, me: ReplicaKey, epoch: int, log: OffsetAndEpoch, high_watermark: int, max_bytes: int, wait_ms: int
) -> fetch.FetchRequest:
    partition = fetch.FetchPartition(
        current_leader_epoch=epoch,
        fetch_offset=log.offset,
        last_fetched_epoch=log.epoch,
        replica_directory_id=me.directory,
        high_watermark=high_watermark,
    )
    return fetch.FetchRequest(
        cluster_id=cluster_id,
        replica_state=fetch.ReplicaState(replica_id=me.id),
        max_wait_ms=wait_ms,
        max_bytes=max_bytes,
        topics=(fetch.FetchTopic(topic_id=METADATA_TOPIC_ID, partitions=(partition,)),),
    )


def fetch_response(partition: fetch.PartitionData, endpoint: tuple[int, Address] | None) -> fetch.FetchResponse:
    topic = fetch.FetchableTopicResponse(topic_id=METADATA_TOPIC_ID, partitions=(partition,))
    endpoints: tuple[fetch.NodeEndpoint, ...] = ()
    if endpoint is not None:
        endpoints = (fetch.NodeEndpoint(node_id=endpoint[0], host=str(endpoint[1]), port=PORT),)
    return fetch.FetchResponse(responses=(topic,), node_endpoints=endpoints)


def snapshot_request(
    cluster_id: str, me: ReplicaKey, epoch: int, id_: OffsetAndEpoch, position: int, max_bytes: int
) -> fs.FetchSnapshotRequest:
    partition = fs.PartitionSnapshot(
        current_leader_epoch=epoch,
        snapshot_id=fs.SnapshotId(end_offset=id_.offset, epoch=id_.epoch),
        position=position,
        replica_directory_id=me.directory,
    )
    topic = fs.TopicSnapshot(name=TOPIC, partitions=(partition,))
    return fs.FetchSnapshotRequest(cluster_id=cluster_id, replica_id=me.id, max_bytes=max_bytes, topics=(topic,))


def snapshot_response(
    leader: int, epoch: int, *, error: int = 0, id_: OffsetAndEpoch | None = None, **chunk: Any
) -> fs.FetchSnapshotResponse:
    """``chunk``: size, position and unaligned_records."""
    shown = fs.SnapshotIdResult() if id_ is None else fs.SnapshotIdResult(end_offset=id_.offset, epoch=id_.epoch)
    partition = fs.PartitionSnapshotResult(
        error_code=error,
        snapshot_id=shown,
        current_leader=fs.LeaderIdAndEpoch(leader_id=leader, leader_epoch=epoch),
        **chunk,
    )
    return fs.FetchSnapshotResponse(topics=(fs.TopicSnapshotResult(name=TOPIC, partitions=(partition,)),))


def add_voter_request(
    cluster_id: str | None, voter: ReplicaKey, address: Address, timeout_ms: int, *, ack_when_committed: bool
) -> add.AddRaftVoterRequest:
    return add.AddRaftVoterRequest(
        cluster_id=cluster_id,
        timeout_ms=timeout_ms,
        voter_id=voter.id,
        voter_directory_id=voter.directory,
        listeners=(add.Listener(name=LISTENER, host=str(address), port=PORT),),
        ack_when_committed=ack_when_committed,
    )


def remove_voter_request(cluster_id: str | None, voter: ReplicaKey) -> RemoveRaftVoterRequest:
    return RemoveRaftVoterRequest(cluster_id=cluster_id, voter_id=voter.id, voter_directory_id=voter.directory)


def update_voter_request(cluster_id: str, epoch: int, voter: Voter) -> update.UpdateRaftVoterRequest:
    spoken = update.KRaftVersionFeature(
        min_supported_version=voter.min_version, max_supported_version=voter.max_version
    )
    return update.UpdateRaftVoterRequest(
        cluster_id=cluster_id,
        current_leader_epoch=epoch,
        voter_id=voter.key.id,
        voter_directory_id=voter.key.directory,
        listeners=(update.Listener(name=LISTENER, host=str(voter.address), port=PORT),),
        k_raft_version_feature=spoken,
    )


def update_voter_response(error: int, leader: int, epoch: int, address: Address | None) -> Any:
    host, port = ("", 0) if address is None else (str(address), PORT)
    current = update.CurrentLeader(leader_id=leader, leader_epoch=epoch, host=host, port=port)
    return update.UpdateRaftVoterResponse(error_code=error, current_leader=current)
