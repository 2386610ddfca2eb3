"""ConsumerGroupRegularExpression, key and value in ``__consumer_offsets``."""

from __future__ import annotations

from kafsim.protocol.schema import kafka, message


@message(16, "0", "none")
class ConsumerGroupRegularExpressionKey:
    group_id: str = kafka("string", "0", default="")
    regular_expression: str = kafka("string", "0", default="")


@message(16, "0", "0+")
class ConsumerGroupRegularExpressionValue:
    topics: tuple[str, ...] = kafka("[]string", "0+", default=())
    version: int = kafka("int64", "0+", default=0)
    timestamp: int = kafka("int64", "0+", default=0)
