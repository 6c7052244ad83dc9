"""Rules that decide a part of the cluster from its public record: allocation, capacity, replicas."""
