"""The merged view without Trino: rows of both layers, read by their own clients and merged by the core."""
