"""Readings of one meter, removed from what the batch layer keeps: raw files, quarantine, master data set."""
