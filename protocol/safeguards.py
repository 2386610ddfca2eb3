"""The rules that keep records safe, each by name, each read where it is applied.

Switching one off is how an invariant is shown to see, and how an older Kafka is imitated. A field says what goes wrong
without it.
"""

from __future__ import annotations

import attrs


@attrs.frozen(kw_only=True)
class Safeguards:
    """All on is today's Kafka."""

    check_producer_sequences: bool = True
    """Off: a retry of what was written already is written again, and a gap in the sequences passes."""
    elect_only_from_isr: bool = True
    """Off: a replica that is up but not in sync may lead, whatever unclean.leader.election.enable says."""
    check_partition_epochs: bool = True
    """Off: the controller takes an ISR from whoever believes to lead, however old its view is."""
    check_broker_epochs: bool = True
    """Off: a replica may join the ISR by what it fetched before it was restarted, or while it is fenced."""
    detect_unclean_shutdown: bool = True
    """Off: a broker that lost its page cache stays in the ISR with a log that may be shorter."""
    wait_for_in_sync_replicas: bool = True
    """Off: acks=all is answered when the leader has written, as acks=1 is."""
    check_min_isr: bool = True
    """Off: acks=all is accepted however few replicas are in sync."""
    bound_reads_by_high_watermark: bool = True
    """Off: a consumer reads what is not committed yet, and may be gone when the leader is."""
    freeze_high_watermark_under_min_isr: bool = True
    """Off (Kafka before 3.7): records become visible while fewer replicas than min.insync.replicas hold them."""
    use_maximal_isr: bool = True
    """Off: an ISR change counts for the high watermark before the controller has confirmed it."""
    expand_isr_only_when_caught_up: bool = True
    """Off: a replica joins the ISR with its first fetch, whatever it lacks."""
    fence_leader_epochs: bool = True
    """Off: a leader answers whoever believes in another epoch, and a follower takes what an old leader sends."""
    truncate_on_divergence: bool = True
    """Off: a follower keeps what its new leader never had."""
    recover_after_unclean_shutdown: bool = True
    """Off: a torn batch at the end of a log stays, and what follows it cannot be read."""
    persist_votes: bool = True
    """Off: a voter that restarts has forgotten its vote and may vote twice in an epoch."""
    check_candidate_log: bool = True
    """Off: a voter votes for whoever asks first, however much its log lacks."""
    commit_only_in_own_epoch: bool = True
    """Off: a leader of the quorum commits what earlier leaders wrote before anything of its own epoch."""
    check_quorum: bool = True
    """Off: a leader of the quorum that no majority can reach goes on leading."""
    use_pre_vote: bool = True
    """Off: a voter that cannot reach the others raises the epoch again and again."""
    flush_metadata_before_counting: bool = True
    """Off: what the page cache of a voter holds counts as written."""
    truncate_diverging_metadata: bool = True
    """Off: a voter keeps metadata that its leader never had."""
    serialize_voter_changes: bool = True
    """Off: voters change while an earlier change, or all of the leader's own epoch, is not committed yet (KIP-853)."""
    check_voter_directories: bool = True
    """Off: a voter is known by its id alone, so one whose disk is empty votes as if it had its log."""
    check_generations: bool = True
    """Off: a group takes a commit of a member that is of an older generation, or gone."""
    wait_until_released: bool = True
    """Off: a member gets a partition of its consumer group before the one that had it has given it up."""
    revert_on_renounce: bool = True
    """Off: a controller that is no longer active keeps what it decided and never committed."""


ALL_ON = Safeguards()


def names() -> tuple[str, ...]:
    return tuple(field.name for field in attrs.fields(Safeguards))
