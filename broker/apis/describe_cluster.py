"""DescribeCluster (60), version 2: the brokers of the cluster, those that are fenced when asked for.

Behaviour: a broker names any broker that serves as the controller, since clients must not send to controllers; it
describes brokers only, controllers are asked at their own listeners.
"""

from __future__ import annotations

from kafsim.controller.metadata_state import MetadataState
from kafsim.protocol import errors
from kafsim.protocol.effects import Outbox
from kafsim.protocol.messages.describe_cluster import (
    DescribeClusterBroker,
    DescribeClusterRequest,
    DescribeClusterResponse,
)
from kafsim.protocol.types import ConnectionId, Header, Micros

BROKERS, CONTROLLERS = 1, 2


class DescribeClusterApi:
    def __init__(self, outbox: Outbox, metadata: MetadataState, cluster_id: str) -> None:
        self._outbox = outbox
        self._metadata = metadata
        self._cluster_id = cluster_id

    def handle(self, now: Micros, connection: ConnectionId, header: Header, request: DescribeClusterRequest) -> None:
        self._outbox.reply(connection, header, self._answer(request))

    def _answer(self, request: DescribeClusterRequest) -> DescribeClusterResponse:
        if request.endpoint_type == CONTROLLERS:
            text = "The request was sent to an endpoint of type BROKER, but we wanted an endpoint of type CONTROLLER"
            return DescribeClusterResponse(error_code=errors.MISMATCHED_ENDPOINT_TYPE, error_message=text)
        if request.endpoint_type != BROKERS:
            text = f"Unsupported endpoint type {request.endpoint_type}"
            return DescribeClusterResponse(error_code=errors.UNSUPPORTED_ENDPOINT_TYPE, error_message=text)
        shown = [b for b in self._metadata.brokers.values() if request.include_fenced_brokers or not b.fenced]
        serving = [broker.id for broker in self._metadata.brokers.values() if not broker.fenced]
        return DescribeClusterResponse(
            cluster_id=self._cluster_id,
            controller_id=serving[0] if serving else -1,
            brokers=tuple(
                DescribeClusterBroker(
                    broker_id=broker.id,
                    host=broker.end_points[0].host,
                    port=broker.end_points[0].port,
                    rack=broker.rack,
                    is_fenced=broker.fenced,
                )
                for broker in shown
            ),
        )
