"""Kafka's record batches, in bytes: what a producer encodes, a log keeps and a consumer decodes."""
