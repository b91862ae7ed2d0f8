"""Readers of files of readings: one small module a format, behind one port (``port``)."""
