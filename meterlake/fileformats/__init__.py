"""Declarations of file formats beside text (``meterlake.textformat``): one small frozen value a format.

``engines.readers.registry`` has the reader of each.
"""
