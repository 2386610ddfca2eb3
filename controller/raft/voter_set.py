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
from kafsim.protocol.uuid import ZERO_UUID, Uuid, to_text

LISTENER = "CONTROLLER"
PORT = 9093


class ReplicaKey(NamedTuple):
    id: int
    directory: Uuid = ZERO_UUID

    def matches(self, other: ReplicaKey) -> bool:
        """Is the other one this replica? Any directory will do while ours is not known."""
        return self.id == other.id and self.directory in (ZERO_UUID, other.directory)

    def __str__(self) -> str:
        """As Kafka prints it."""
        directory = "<undefined>" if self.directory == ZERO_UUID else to_text(self.directory)
        return f"ReplicaKey(id={self.id}, directoryId={directory})"


@attrs.frozen
class Voter:
    key: ReplicaKey
    address: Address
    min_version: int = 0
    max_version: int = 1
    """The versions of kraft.version that it speaks; of a static voter that has not told them only 0 is known."""

    def speaks(self, version: int) -> bool:
        return self.min_version <= version <= self.max_version


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

    @property
    def keys(self) -> list[ReplicaKey]:
        return [voter.key for voter in self.by_id.values()]

    def add(self, voter: Voter) -> VoterSet | None:
        """None when a voter has that id, with whatever directory."""
        return None if voter.key.id in self.by_id else VoterSet.of(*self.by_id.values(), voter)

    def remove(self, key: ReplicaKey) -> VoterSet | None:
        """None when that is no voter, or the last one."""
        voter = self.by_id.get(key.id)
        if voter is None or voter.key != key or len(self.by_id) == 1:
            return None
        return VoterSet({id_: other for id_, other in self.by_id.items() if id_ != key.id})

    def update(self, voter: Voter, *, ignore_directory: bool = False) -> VoterSet | None:
        """Other endpoints or versions of a voter, None when that is no voter."""
        known = self.by_id.get(voter.key.id)
        if known is None or not (ignore_directory or known.key.matches(voter.key)):
            return None
        return VoterSet({**self.by_id, voter.key.id: voter})

    def needs_update(self, voter: Voter) -> bool:
        """Is that a voter of which something else was noted?"""
        return voter.key in self and self.by_id[voter.key.id] != voter

    def speaks(self, version: int) -> bool:
        return all(voter.speaks(version) for voter in self.by_id.values())

    def by_ids_alone(self) -> VoterSet:
        """As before KIP-853: whoever has the id is the voter."""
        return VoterSet({id_: attrs.evolve(v, key=ReplicaKey(id_)) for id_, v in self.by_id.items()})

    # ------------------------------------------------------------------- records

    def to_record(self) -> VotersRecord:
        return VotersRecord(
            voters=tuple(
                VoterOfRecord(
                    voter_id=voter.key.id,
                    voter_directory_id=voter.key.directory,
                    endpoints=(Endpoint(name=LISTENER, host=str(voter.address), port=PORT),),
                    k_raft_version_feature=KRaftVersionFeature(
                        min_supported_version=voter.min_version, max_supported_version=voter.max_version
                    ),
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
                    voter.k_raft_version_feature.min_supported_version,
                    voter.k_raft_version_feature.max_supported_version,
                )
                for voter in record.voters
            )
        )
