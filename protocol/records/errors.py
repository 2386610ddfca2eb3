"""What is wrong with bytes that should be records; Kafka's exceptions of the same meaning are named beside."""

from __future__ import annotations


class RecordError(ValueError):
    """Bytes that are no record batch (Kafka: IllegalArgumentException, KafkaException from a decompressor, ...)."""


class CorruptRecord(RecordError):
    """Kafka: CorruptRecordException."""


class InvalidRecord(RecordError):
    """Kafka: InvalidRecordException."""


class Decompression(RecordError):
    """A compressed stream is broken, or its codec is not installed."""
