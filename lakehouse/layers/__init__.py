"""The layers of a lakehouse: bronze as it came, silver judged, gold modelled. Each works on the branch of a run."""
