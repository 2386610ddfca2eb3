"""Kafka's requests and responses, one module for each API, under Kafka's names in snake_case."""
