"""The clients: producer, consumer, admin."""
