"""The data sets that come with this platform: one folder each (``meterlake.dataset``)."""
