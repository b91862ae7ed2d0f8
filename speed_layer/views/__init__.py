"""The speed views: Kafka to Cassandra, minute by minute while it happens."""
