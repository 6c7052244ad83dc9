"""The simulator: records, kernels and rules of the cluster."""
