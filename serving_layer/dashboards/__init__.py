"""Grafana dashboards and alert rules as typed code: what is checked in under ``grafana/`` is this package's output."""
