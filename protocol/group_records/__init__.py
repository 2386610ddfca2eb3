"""Records of the groups in ``__consumer_offsets``: a module for each type, with its key and its value."""
