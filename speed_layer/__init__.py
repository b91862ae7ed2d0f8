"""Speed layer: the minutes that batch has not reached."""
