"""Events before a run has read them: minutes in Cassandra, made of what Kafka has since the boundary."""
