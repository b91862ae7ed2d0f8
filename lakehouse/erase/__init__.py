"""A person's records, removed from wherever a lakehouse keeps them."""
