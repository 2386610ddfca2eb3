"""One file for each API that a broker serves."""
