"""Lakehouses: data sets of events and of reference tables, and the dimensions and facts that are made of them."""
