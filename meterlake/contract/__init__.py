"""Data contracts: what readers of a data set may rely on, in the Open Data Contract Standard, and what breaks it."""
