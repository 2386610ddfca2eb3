"""The broker: partitions, replication, one file for each API."""
