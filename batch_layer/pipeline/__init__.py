"""Batch from end to end, as a library: a scheduler calls it as the command line does."""
