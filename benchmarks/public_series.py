"""Further public series, read from clones of the repositories that hold them.

    git clone https://github.com/numenta/NAB
    git clone https://github.com/mooselab/web-app-workloads
    git clone https://github.com/reconfigurable-ml-pipeline/web-service-datasets

Tweets that mention a company, taxi rides of New York and requests to a load balancer (Numenta Anomaly Benchmark, Lavin
and Ahmad 2015), requests to web sites of universities and of Madrid, and tweets per second. `CHOSEN_ON` are those on
which the mixture and the sharpness of the hybrid were chosen; nothing was chosen on the `OTHERS`.
"""

import csv
import tarfile
from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

Loader = Callable[[Path], NDArray[np.float64]]
TWEETS_CHOSEN_ON = ("CRM", "CVS", "FB", "IBM", "AMZN")
TWEETS_OTHERS = ("KO", "PFE", "UPS", "AAPL", "GOOG")
MINUTES = (5, 15, 60)


def minute_of(stamp: str) -> int:
    """Minutes since 1970 of a time such as ``2018-05-01 00:00:00``."""
    return int(np.datetime64(stamp.replace(" ", "T"), "m").astype(np.int64))


def slot_sums(rows: Iterable[tuple[str, float]], minutes: int) -> NDArray[np.float64]:
    """Sums of times and values per slot of some minutes; empty slots are 0."""
    totals: Counter[int] = Counter()
    for stamp, value in rows:
        totals[minute_of(stamp) // minutes] += value
    return np.array([totals[slot] for slot in range(min(totals), max(totals) + 1)], np.float64)


def read_sums(path: Path, minutes: int) -> NDArray[np.float64]:
    """Sums of a CSV of times and values."""
    with path.open(newline="") as file:
        rows = csv.reader(file)
        next(rows)
        return slot_sums(((stamp, float(value)) for stamp, value in rows), minutes)


def _tweets(company: str, minutes: int) -> Loader:
    return lambda root: read_sums(root / f"NAB/data/realTweets/Twitter_volume_{company}.csv", minutes)


def _site(name: str, first_day: int = 0, days: int | None = None) -> Loader:
    hours = slice(24 * first_day, None if days is None else 24 * (first_day + days))
    return lambda root: read_sums(root / f"web-app-workloads/data/{name}_resample_1h.csv", 60)[hours]


def _known(name: str, minutes: int) -> Loader:
    return lambda root: read_sums(root / f"NAB/data/{name}.csv", minutes)


def _tweets_per_second(minutes: int) -> Loader:
    def load(root: Path) -> NDArray[np.float64]:
        with tarfile.open(root / "web-service-datasets/dataset/twitter_trace/workload.tbz2") as archive:
            file = archive.extractfile("workload.txt")
            assert file is not None
            seconds = np.array(file.read().split(), np.float64)
        slots = len(seconds) // (60 * minutes)
        return np.asarray(seconds[: slots * 60 * minutes].reshape(slots, -1).sum(axis=1))

    return load


CHOSEN_ON: dict[str, tuple[int, Loader]] = {
    "calgary-60": (60, _site("calgary")),
    "madrid-60": (60, _site("madrid")),
    "bu-60": (60, _site("bu")),
    "calgary-60-4w": (60, _site("calgary", 100, 28)),
    "bu-60-3w": (60, _site("bu", 60, 21)),
    "calgary-60-8w": (60, _site("calgary", 200, 56)),
    **{f"twitter-{m}": (m, _tweets_per_second(m)) for m in MINUTES},
    **{f"{company}-{m}": (m, _tweets(company, m)) for company in TWEETS_CHOSEN_ON for m in MINUTES},
}
OTHERS: dict[str, tuple[int, Loader]] = {
    "saskatchewan-60": (60, _site("saskatchewan")),
    "saskatchewan-60-4w": (60, _site("saskatchewan", 60, 28)),
    "nyc-30": (30, _known("realKnownCause/nyc_taxi", 30)),
    "nyc-60": (60, _known("realKnownCause/nyc_taxi", 60)),
    "elb-5": (5, _known("realAWSCloudwatch/elb_request_count_8c0756", 5)),
    "elb-60": (60, _known("realAWSCloudwatch/elb_request_count_8c0756", 60)),
    **{f"{company}-{m}": (m, _tweets(company, m)) for company in TWEETS_OTHERS for m in MINUTES},
}
