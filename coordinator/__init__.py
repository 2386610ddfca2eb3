"""The coordinators of a broker: consumer groups, each on its partition of ``__consumer_offsets``."""
