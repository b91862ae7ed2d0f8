"""Ingest: files of readings become rows of the master data set, in one commit.

``places`` finds them, ``sources`` opens and unpacks them, ``upload`` brings them into HDFS (``raw_store``), ``tasks``
decode them in Spark, ``load`` joins all of it. ``dry_run`` reads them here and now.
"""
