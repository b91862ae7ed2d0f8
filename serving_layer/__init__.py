"""Serving layer: one picture of both."""
