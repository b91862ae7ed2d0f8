"""SQL of the serving layer: the published views, and ad-hoc queries on every engine."""
