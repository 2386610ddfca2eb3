"""The controller: the metadata log, the state it replays to, and the decisions about replicas."""
