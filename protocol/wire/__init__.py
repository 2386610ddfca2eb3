"""Kafka's own binary form of the message classes."""
