"""The log of one replica and what is derived from it."""
