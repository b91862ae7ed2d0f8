"""Batch layer: the truth, recomputed from the master data set."""
