"""Models of what the next day brings: trained beside simpler answers, kept in a registry, asked by each run."""
