"""Who votes (Kafka: ``VoterSet``, ``ReplicaKey``; KIP-853).

A voter is known by its id and the id of its log directory: one that comes back with an empty disk is another replica.
A directory id of zeros means that it is not known, as in every quorum with ``kraft.version`` 0.
"""

from __future__ import annotations

from typing import NamedTuple

import attrs

from kafsim.protocol.metadata.control_records import Endpoint, KRaftVersionFeature, VotersRecord
from kafsim.protocol.metadata.control_records import Voter as VoterOfRecord
from kafsim.protocol.types import Address
from kafsim.protocol.uuid import ZERO_UUID, Uuid

LISTENER = "CONTROLLER"
PORT = 9093


class ReplicaKey(NamedTuple):
    id: int
    directory: Uuid = ZERO_UUID

    def matches(self, other: ReplicaKey) -> bool:
        """Is the other one this replica? Any directory will do while ours is not known."""
        return self.id == other.id and self.directory in (ZERO_UUID, other.directory)


@attrs.frozen
class Voter:
    key: ReplicaKey
    address: Address
    max_version: int = 1
    """The highest kraft.version it can speak."""


@attrs.frozen
class VoterSet:
    """Voters by id, in the order of their ids."""

    by_id: dict[int, Voter]

    @classmethod
    def of(cls, *voters: Voter) -> VoterSet:
        return cls({voter.key.id: voter for voter in sorted(voters, key=lambda voter: voter.key.id)})

    @property
    def ids(self) -> list[int]:
        return list(self.by_id)

    @property
    def majority(self) -> int:
        return len(self.by_id) // 2 + 1

    def __contains__(self, key: object) -> bool:
        return isinstance(key, ReplicaKey) and key.id in self.by_id and self.by_id[key.id].key.matches(key)

    def is_only(self, key: ReplicaKey) -> bool:
        return len(self.by_id) == 1 and key in self

    def address(self, id_: int) -> Address | None:
        voter = self.by_id.get(id_)
        return None if voter is None else voter.address

    def with_voter(self, voter: Voter) -> VoterSet:
        return VoterSet.of(*{**self.by_id, voter.key.id: voter}.values())

    def without(self, id_: int) -> VoterSet:
        return VoterSet({known: voter for known, voter in self.by_id.items() if known != id_})

    def overlaps_majority(self, other: VoterSet) -> bool:
        """Do the two differ by one voter at most? Then any two majorities have one in common."""
        ours = {voter.key for voter in self.by_id.values()}
        theirs = {voter.key for voter in other.by_id.values()}
        return len(ours - theirs) <= 1 and len(theirs - ours) <= 1

    # ------------------------------------------------------------------- records

    def to_record(self) -> VotersRecord:
        return VotersRecord(
            voters=tuple(
                VoterOfRecord(
                    voter_id=voter.key.id,
                    voter_directory_id=voter.key.directory,
                    endpoints=(Endpoint(name=LISTENER, host=str(voter.address), port=PORT),),
                    k_raft_version_feature=KRaftVersionFeature(max_supported_version=voter.max_version),
                )
                for voter in self.by_id.values()
            )
        )

    @classmethod
    def from_record(cls, record: VotersRecord) -> VoterSet:
        return cls.of(
            *(
                Voter(
                    ReplicaKey(voter.voter_id, voter.voter_directory_id),
                    Address.parse(voter.endpoints[0].host),
                    voter.k_raft_version_feature.max_supported_version,
                )
                for voter in record.voters
            )
        )
