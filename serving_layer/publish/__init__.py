"""Which run readers see: the record of runs, publishing, finishing what was interrupted, and back."""
