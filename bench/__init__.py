"""What the engine costs: ``python -m bench`` prints a table and writes JSON."""
