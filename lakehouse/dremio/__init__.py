"""A lakehouse's views and figures in Dremio, and where Dremio finds its tables."""
