"""From the finest view and reference tables to the tables that people read."""
