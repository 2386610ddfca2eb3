"""The metadata quorum (Kafka: module ``raft``): elections, replication of the metadata log, snapshots, voters."""
