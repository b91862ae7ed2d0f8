"""The layers compared for the minutes that the boundary moves over."""
