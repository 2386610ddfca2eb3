"""The kinds of input a port hands to its core."""

START = 0
MESSAGE = 1
DISCONNECT = 2
TIMER = 3
FLUSHED = 4
CALL = 5
CANCEL = 6
