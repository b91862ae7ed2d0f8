"""Text files of readings: how one is declared (``format``), what a line is (``lines``), what it says in SQL (``rows``).

Pure: ``engines.readers.text`` runs it.
"""
