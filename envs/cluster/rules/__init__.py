"""Rules that decide a part of the cluster from its public record.

* `capacity`, `replicas`, `allocation`: those that environments run inside a step, for parts that the agent does not
  decide, and that compositions name; `parts` runs them.
* `priority`: allocation by weighted increments, the tuned rule and the learned scorer.
* `ladder`: further rules for replicas; `relieving`: the search of `load-aware`, `forecast`, the oracle, and the learned
  score, which starts as `load-aware`.
* `sizing`: the learned score for capacity.
"""
