"""The published views, recomputed by a second engine (DuckDB) with an aggregation of its own, and compared row by row.

What is computed here is written by hand on purpose: it shares the declaration with the batch layer, and no code.
"""
