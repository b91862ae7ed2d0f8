"""Reports: pictures, pages and tables of one meter's history, without a dashboard server.

A ``Source`` (Hive, Trino, or the merged view) yields typed pandas frames; pure functions turn a frame into
figures, key figures and a table; renderers write PNG, SVG, HTML and CSV. What reports a data set has stands
in its declaration (``meterlake.report_specs``).
"""
