"""Subscriptions by regular expression, which the coordinator resolves (KIP-848; Kafka: ``TopicRegexResolver``).

A heartbeat only decides that it is time to look; the topics are looked through beside it, and what is found is written
when that has come to an end. Until then a member with a new expression is subscribed to nothing by it.
"""

from __future__ import annotations

import enum
import re
from collections.abc import Callable

from kafsim.coordinator.consumer_group import ConsumerGroup, ConsumerGroupMember, ResolvedRegex
from kafsim.coordinator.consumer_group_records import epoch_record, regex_record, regex_tombstone
from kafsim.coordinator.records import CoordinatorRecord
from kafsim.coordinator.refusal import Refused
from kafsim.coordinator.shard import GroupShard
from kafsim.coordinator.topics import Topics
from kafsim.protocol import errors
from kafsim.protocol.facts import group as facts
from kafsim.protocol.facts.fact import because
from kafsim.protocol.types import Micros

LEAST_BETWEEN_MS = 10_000
RESOLVING = Micros(1_000)
"""How long the coordinator takes to look through the topics."""
Write = Callable[[Micros, ConsumerGroup, list[CoordinatorRecord], list[object]], None]


class RegexStatus(enum.Enum):
    SAME = enum.auto()
    UPDATED = enum.auto()
    """The member has another expression, whose topics are not known yet."""
    RESOLVED = enum.auto()
    """It has another one, or none any more, and its topics are known."""


class Regexes:
    """Of the groups of one shard."""

    def __init__(self, shard: GroupShard, topics: Topics, write: Write) -> None:
        self._shard = shard
        self._topics = topics
        self._write = write
        self._resolving: dict[str, None] = {}

    def update(
        self,
        now: Micros,
        group: ConsumerGroup,
        old: ConsumerGroupMember,
        new: ConsumerGroupMember,
        records: list[CoordinatorRecord],
        *,
        is_known: bool,
    ) -> RegexStatus:
        """What a heartbeat does to the expressions; Refused with INVALID_REGULAR_EXPRESSION for one that is none.

        ``is_known``: the group has counted ``old``, perhaps under another member id.
        """
        status, is_new = RegexStatus.SAME, False
        regexes = dict(group.by_regex)
        if old.regex != new.regex:
            status = RegexStatus.UPDATED
            if old.regex and regexes.get(old.regex) == 1 and is_known:
                records.append(regex_tombstone(group.id, old.regex))
            if old.regex in regexes and is_known:
                regexes[old.regex] -= 1
            if new.regex and not regexes.get(new.regex):
                compiled(new.regex)
                is_new = True
            elif not new.regex or new.regex in group.regexes:
                status = RegexStatus.RESOLVED
            if new.regex:
                regexes[new.regex] = regexes.get(new.regex, 0) + 1
        asked = [regex for regex, count in regexes.items() if count]
        if (is_new or group.by_regex) and asked and self._is_time(now, group, len(asked), is_new=is_new):
            self._resolve(now, group.id, asked)
        return status

    def _is_time(self, now: Micros, group: ConsumerGroup, asked: int, *, is_new: bool) -> bool:
        if group.id in self._resolving:
            return False
        first = next(iter(group.regexes.values()), None)
        wall = self._shard.wall_ms(now)
        if first is not None and wall <= first.timestamp + LEAST_BETWEEN_MS:
            return False
        if is_new or asked != len(group.regexes) or first is None:
            return True
        refresh = self._shard.settings["group.consumer.regex.refresh.interval.ms"]
        return first.version < self._topics.last_new or wall > first.timestamp + refresh

    def _resolve(self, now: Micros, group_id: str, asked: list[str]) -> None:
        self._resolving[group_id] = None
        began = self._shard.wall_ms(now)

        def over(at: Micros) -> None:
            del self._resolving[group_id]
            names = list(self._topics.names())
            found = {
                regex: ResolvedRegex(tuple(sorted(_matching(regex, names))), self._topics.version, began)
                for regex in asked
            }
            group = self._shard.groups.get(group_id)
            if isinstance(group, ConsumerGroup):
                self._note(at, group, found)

        self._shard.timers.set(("regex", group_id), Micros(now + RESOLVING), over)

    def _note(self, now: Micros, group: ConsumerGroup, found: dict[str, ResolvedRegex]) -> None:
        found = {regex: one for regex, one in found.items() if regex in group.by_regex}
        records = [regex_record(group.id, regex, one) for regex, one in found.items()]
        bumps = any(
            (known.topics if (known := group.regexes.get(regex)) is not None else ()) != one.topics
            for regex, one in found.items()
        )
        told: list[object] = []
        every = dict.fromkeys((*group.by_name, *(topic for one in found.values() for topic in one.topics)))
        hash_ = self._topics.hash_of(every)
        if found and (bumps or hash_ != group.metadata_hash):
            records.append(epoch_record(group.id, group.epoch + 1, hash_))
            why = because(facts.RESOLVED, topics=", ".join(every) or "nothing")
            told.append(facts.GroupEpochBumped(group=group.id, epoch=group.epoch + 1, because=why))
            group.looked_at = self._topics.changes
        if records:
            self._write(now, group, records, told)


def compiled(regex: str) -> re.Pattern[str]:
    try:
        return re.compile(regex)
    except (re.error, OverflowError, RecursionError) as error:
        text = f"SubscribedTopicRegex `{regex}` is not a valid regular expression: {error}."
        raise Refused(errors.INVALID_REGULAR_EXPRESSION, text) from None


def _matching(regex: str, names: list[str]) -> list[str]:
    pattern = compiled(regex)
    return [name for name in names if pattern.fullmatch(name)]
