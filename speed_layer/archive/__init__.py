"""The archive: Kafka to the master data set and the quarantine, every message once."""
