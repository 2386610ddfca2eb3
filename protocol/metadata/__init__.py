"""The records of the metadata log, under Kafka's names in snake_case."""
