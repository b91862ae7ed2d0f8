"""The core: declarations and decisions, pure; it imports no engine."""
