"""Decides about the levels of features (Kafka: ``FeatureControlManager``; KIP-584, KIP-778).

All updates of one request succeed, or none. A level must be spoken by this controller, by every registered broker and
by every registered controller, whether they run or not.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from kafsim.controller.metadata_state import BROKER, MetadataState
from kafsim.protocol import errors
from kafsim.protocol import features as known
from kafsim.protocol.features import ELR, KRAFT_VERSION, METADATA_VERSION, Range
from kafsim.protocol.messages.update_features import (
    FeatureUpdateKey,
    UpdatableFeatureResult,
    UpdateFeaturesRequest,
    UpdateFeaturesResponse,
)
from kafsim.protocol.metadata.config_record import ConfigRecord
from kafsim.protocol.metadata.feature_level_record import FeatureLevelRecord
from kafsim.protocol.metadata.no_op_record import NoOpRecord
from kafsim.protocol.types import Micros

UPGRADE, SAFE_DOWNGRADE, UNSAFE_DOWNGRADE = 1, 2, 3
MIN_ISR = "min.insync.replicas"
RESULTS_UNTIL = 1
"""The last version whose response has a result for each feature."""
OnKRaftVersion = Callable[[Micros, int, bool], str | None]
"""Told the time, the level of kraft.version that is wanted, and whether only to look; why it cannot be."""


class Refused(Exception):
    """An update that cannot be, in Kafka's words."""


class FeatureControl:
    """``voters``: the static voters; ``kraft_version``: the level in force, which the quorum itself keeps."""

    def __init__(
        self,
        state: MetadataState,
        settings: dict[str, Any],
        node: int,
        voters: Callable[[], list[int]],
        kraft_version: Callable[[], int],
        upgrade_kraft: OnKRaftVersion,
    ) -> None:
        self.state = state
        self._settings = settings
        self._node = node
        self._voters = voters
        self._kraft_version = kraft_version
        self._upgrade_kraft = upgrade_kraft

    def update(
        self, now: Micros, request: UpdateFeaturesRequest, version: int
    ) -> tuple[list[Any], UpdateFeaturesResponse]:
        """Records, or why not."""
        updates = list({update.feature: update for update in request.feature_updates}.values())
        proposed = {**dict(self.state.features.items()), **{u.feature: u.max_version_level for u in updates}}
        records: list[Any] = []
        try:
            for update in updates:
                records += self._one(now, update, proposed, validate_only=request.validate_only)
        except Refused as refused:
            text = f"The update failed for all features since the following feature had an error: {refused}"
            return [], UpdateFeaturesResponse(error_code=errors.INVALID_UPDATE_VERSION, error_message=text)
        if any(update.feature == ELR and update.max_version_level > 0 for update in updates):
            records = [*self._for_elr(), *records]
        results: tuple[UpdatableFeatureResult, ...] = ()
        if version <= RESULTS_UNTIL:
            results = tuple(UpdatableFeatureResult(feature=u.feature, error_message="NONE") for u in updates)
        response = UpdateFeaturesResponse(error_message=None, results=results)
        return [] if request.validate_only else records, response

    def _one(
        self, now: Micros, update: FeatureUpdateKey, proposed: dict[str, int], *, validate_only: bool
    ) -> list[Any]:
        name, level, type_ = update.feature, update.max_version_level, update.upgrade_type
        current = self._kraft_version() if name == KRAFT_VERSION else self.state.features.get(name) or 0
        why = self._refusal(name, level, type_, current)
        if why is None and name == KRAFT_VERSION:
            return self._kraft(now, level, type_, current, validate_only=validate_only)
        if why is None and name == METADATA_VERSION:
            self._check_downgrade(level, current, type_)
        elif why is None and level:
            needed = known.DEPENDS_ON_METADATA.get(name, 0)
            if proposed.get(METADATA_VERSION, 0) < needed:
                why = f"{name} could not be set to {level} because it depends on metadata.version level {needed}"
        if why is not None:
            raise Refused(_invalid(name, level, why))
        return [FeatureLevelRecord(name=name, feature_level=level)]

    def _refusal(self, name: str, level: int, type_: int, now: int) -> str | None:
        if type_ not in (UPGRADE, SAFE_DOWNGRADE, UNSAFE_DOWNGRADE):
            return "The controller does not support the given upgrade type."
        if level < 0:
            return "A feature version cannot be less than 0."
        for who, supported in self._speakers(name):
            if level not in supported:
                return f"{who} {supported}"
        unheard = [id_ for id_ in self._voters() if id_ != self._node and id_ not in self.state.controllers]
        if unheard and self._registers_controllers:
            return f"controller {unheard[0]} has not registered, and may not support this feature"
        if level < now and type_ == UPGRADE:
            return (
                "Can't downgrade the version of this feature without setting the upgrade type to either safe or "
                "unsafe downgrade."
            )
        if level > now and type_ != UPGRADE:
            return "Can't downgrade to a newer version."
        return None

    @property
    def _registers_controllers(self) -> bool:
        return (self.state.features.get(METADATA_VERSION) or 0) >= known.CONTROLLER_REGISTRATION

    def _speakers(self, name: str) -> Iterator[tuple[str, Range]]:
        """Who has to speak a version, and which it can."""
        yield f"Local controller {self._node}", known.SUPPORTED.get(name, known.UNKNOWN)
        for broker in self.state.brokers.values():
            yield f"Broker {broker.id}", broker.features.get(name, known.UNKNOWN)
        if self._registers_controllers:
            for id_, controller in self.state.controllers.items():
                if id_ != self._node:
                    yield f"Controller {id_}", controller.features.get(name, known.UNKNOWN)

    def _check_downgrade(self, level: int, now: int, type_: int) -> None:
        """Not beyond a level that changed the records: what they say would be lost."""
        if level < now and any(level < changed <= now for changed in known.CHANGES_METADATA):
            why = (
                "Unsafe metadata downgrade is not supported in this version."
                if type_ == UNSAFE_DOWNGRADE
                else "Refusing to perform the requested downgrade because it might delete metadata information."
            )
            raise Refused(f"Unsupported metadata.version downgrade from {now} to {level}. {why}")

    def _kraft(self, now: Micros, level: int, type_: int, current: int, *, validate_only: bool) -> list[Any]:
        """The quorum keeps its own version, in control records."""
        if type_ != UPGRADE:
            if level != current:
                raise Refused(_invalid(KRAFT_VERSION, level, "Can't downgrade the version of this feature."))
            return []
        why = self._upgrade_kraft(now, level, validate_only)
        if why is not None:
            raise Refused(why)
        return [NoOpRecord()]

    def _for_elr(self) -> list[Any]:
        """With ELR there is one min.insync.replicas for all brokers, and it is written down (KIP-966)."""
        records = []
        if MIN_ISR not in self.state.config(BROKER, ""):
            value = str(self._settings[MIN_ISR])
            records.append(ConfigRecord(resource_type=BROKER, resource_name="", name=MIN_ISR, value=value))
        for (type_, name), values in self.state.configs.items():
            if type_ == BROKER and name and MIN_ISR in values:
                records.append(ConfigRecord(resource_type=BROKER, resource_name=name, name=MIN_ISR, value=None))
        return records


def _invalid(name: str, level: int, why: str) -> str:
    return f"Invalid update version {level} for feature {name}. {why}"
