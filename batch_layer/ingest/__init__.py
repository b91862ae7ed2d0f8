"""Ingest: a text file of readings becomes rows of the master data set, in one commit.

``sources`` opens and unpacks it, ``upload`` puts it into HDFS, ``parse`` decodes its lines, ``load`` joins them.
"""
