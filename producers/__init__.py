"""Producers: where readings come from."""
