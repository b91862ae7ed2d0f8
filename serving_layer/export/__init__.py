"""Views out again, as files: rows are streamed from Trino, so that memory does not grow with them."""
