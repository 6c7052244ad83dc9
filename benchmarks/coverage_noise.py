"""How often even a perfect 95 % band would be seen in its range, by the length of the test part.

    python benchmarks/coverage_noise.py

The errors of the ideal h-step forecast of a random walk are sums of h shocks, so neighbours share h - 1 of them, and a
test part of n slots holds about n / h independent ones. The band is the true quantile of these errors.
"""

import numpy as np

RANGES = {1: (0.93, 0.97), 12: (0.93, 0.97), 48: (0.91, 0.97)}
LENGTHS = (133, 149, 231, 418, 530, 1588, 3504)
SAMPLES, QUANTILE = 2000, 1.959963984540054


def covered(rng: np.random.Generator, length: int, h: int) -> float:
    """Share of the errors of one test part that lie in the true band."""
    walk = np.concatenate([[0.0], np.cumsum(rng.normal(size=length + h - 1))])
    return float(np.mean(np.abs(walk[h:] - walk[:-h]) < QUANTILE * np.sqrt(h)))


def main() -> None:
    """Prints the share of test parts in range, and the standard deviation of their coverage."""
    rng = np.random.default_rng(0)
    print("| slots | " + " | ".join(f"h = {h}: in range (sd)" for h in RANGES) + " |")
    print("|---|" + "---|" * len(RANGES))
    for length in LENGTHS:
        cells = []
        for h, (low, high) in RANGES.items():
            shares = np.array([covered(rng, length, h) for _ in range(SAMPLES)])
            cells.append(f"{np.mean((shares >= low) & (shares <= high)):.2f} ({shares.std():.3f})")
        print(f"| {length} | " + " | ".join(cells) + " |")


if __name__ == "__main__":
    main()
