"""Control records of the metadata log and its snapshots (Kafka: ``ControlRecordUtils``)."""

from __future__ import annotations

from kafsim.protocol.schema import kafka, message, struct
from kafsim.protocol.uuid import ZERO_UUID, Uuid


@struct
class LeaderChangeVoter:
    voter_id: int = kafka("int32", "0+", default=0)
    voter_directory_id: Uuid = kafka("uuid", "1+", default=ZERO_UUID)


@message(-1, "0-1", "0+")
class LeaderChangeMessage:
    version: int = kafka("int16", "0+", default=0)
    leader_id: int = kafka("int32", "0+", default=0)
    voters: tuple[LeaderChangeVoter, ...] = kafka("[]Voter", "0+", default=())
    granting_voters: tuple[LeaderChangeVoter, ...] = kafka("[]Voter", "0+", default=())


@message(-1, "0", "0+")
class KRaftVersionRecord:
    version: int = kafka("int16", "0+", default=0)
    k_raft_version: int = kafka("int16", "0+", default=0)


@struct
class Endpoint:
    name: str = kafka("string", "0+", default="")
    host: str = kafka("string", "0+", default="")
    port: int = kafka("uint16", "0+", default=0)


@struct
class KRaftVersionFeature:
    min_supported_version: int = kafka("int16", "0+", default=0)
    max_supported_version: int = kafka("int16", "0+", default=0)


@struct
class Voter:
    voter_id: int = kafka("int32", "0+", default=0)
    voter_directory_id: Uuid = kafka("uuid", "0+", default=ZERO_UUID)
    endpoints: tuple[Endpoint, ...] = kafka("[]Endpoint", "0+", default=())
    k_raft_version_feature: KRaftVersionFeature = kafka("KRaftVersionFeature", "0+", default=KRaftVersionFeature())


@message(-1, "0", "0+")
class VotersRecord:
    version: int = kafka("int16", "0+", default=0)
    voters: tuple[Voter, ...] = kafka("[]Voter", "0+", default=())


@message(-1, "0", "0+")
class SnapshotHeaderRecord:
    version: int = kafka("int16", "0+", default=0)
    last_contained_log_timestamp: int = kafka("int64", "0+", default=0)


@message(-1, "0", "0+")
class SnapshotFooterRecord:
    version: int = kafka("int16", "0+", default=0)
