"""Simulated records of lakehouses: faults put in, sinks, and the account of what must become of all."""
