"""kafsim: a whole replicated Kafka cluster in one Python process, on a clock you control."""

__version__ = "0.1.0"
