"""What crosses the border of a core: messages, records, errors, effects, facts, safeguards."""
