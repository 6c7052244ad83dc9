"""Networks that see a cluster as sets of jobs, datasets, servers and nodes, and know neither their number nor order."""
