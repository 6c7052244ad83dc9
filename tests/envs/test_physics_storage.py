"""What data servers do in a sub-slot, against arithmetic by hand; and that each switch turns off its effect alone."""

from __future__ import annotations

from types import ModuleType
from typing import Any

import numpy as np
import pytest

from psgym.envs.cluster.kinds import KINDS

SLOT, STEP, BANDWIDTH = 300.0, 30.0, 1.25e9
PLAIN = {kind.name: 1 / (np.array(kind.sync) @ [kind.batch_size, 1, 1, 1, 1, 1]) * kind.batch_size for kind in KINDS}
"""Samples/s at one worker and one server; reading 2e8 bytes/s."""


def place(here: Any, dataset: int, servers: list[int]) -> None:
    """Puts the copies of a dataset on these servers."""
    sets, store = here.public["datasets"], here.public["servers"]
    store["stored"] += ((np.isin(np.arange(8), servers)) * 1.0 - (sets["placed"][dataset] == 1)) * sets["size"][dataset]
    sets["placed"][dataset] = np.isin(np.arange(8), servers)
    sets["copies"][dataset] = sets["live"][dataset] = len(servers)
    sets["unlisted"][dataset] = 1


def read(here: Any, dataset: int, rate: float) -> None:
    """Lets background readers ask for a dataset at a constant rate (bytes/s)."""
    here.scenario["background"][:, dataset] = rate


def fly(here: Any, dataset: int, source: int, target: int) -> None:
    """Starts a copy."""
    flight = here.public["flights"][int(here.public["flight_count"])]
    flight["dataset"], flight["source"], flight["target"] = dataset, source, target
    flight["remaining"] = here.public["datasets"]["size"][dataset]
    here.public["flight_count"] += 1
    here.public["datasets"]["placed"][dataset, target] = 2
    here.public["datasets"]["pending"][dataset] += 1
    here.public["servers"]["flights"][[source, target]] += 1
    here.public["servers"]["stored"][target] += here.public["datasets"]["size"][dataset]


def test_reads_split_evenly_and_a_server_serves_its_share(situations: ModuleType) -> None:
    here = situations.Situation(storage_stalls=True)
    place(here, 0, [0, 1])
    place(here, 1, [1, 2, 3])
    read(here, 0, 2.0e9)
    read(here, 1, 1.5e9)
    here.commit()
    load = np.array([1.0e9, 1.5e9, 0.5e9, 0.5e9, 0, 0, 0, 0])
    served = np.minimum(1, BANDWIDTH / np.where(load > 0, load, 1))
    np.testing.assert_allclose(here.hidden["server_load"], load, rtol=1e-6)
    np.testing.assert_allclose(here.hidden["served_share"], served, rtol=1e-6)
    np.testing.assert_allclose(here.public["servers"]["utilisation"], load / BANDWIDTH, rtol=1e-6)
    factor = [(1 + served[1]) / 2, (served[1] + 2) / 3]
    stalled = (2.0e9 * (1 - factor[0]) + 1.5e9 * (1 - factor[1])) / 3.5e9
    assert here.info["stall_share"] == pytest.approx(stalled, rel=1e-6)
    assert here.info["load_max_over_mean"] == pytest.approx(load.max() / load.mean(), rel=1e-6)
    assert here.info["load_variation"] == pytest.approx(load.std() / load.mean(), rel=1e-6)
    assert here.info["storage_utilisation"] == pytest.approx(load.sum() / (8 * BANDWIDTH), rel=1e-6)
    assert here.info["hot_traffic_share"] == pytest.approx(BANDWIDTH / 3.5e9, rel=1e-6), "server 1 alone is above 90 %"


def test_copies_on_a_server_that_is_down_carry_and_count_nothing(situations: ModuleType) -> None:
    here = situations.Situation(storage_stalls=True)
    place(here, 0, [0, 1, 2])
    place(here, 1, [1])
    here.public["servers"]["up"][2] = 0
    here.public["datasets"]["live"] -= here.public["datasets"]["placed"][:, 2]
    here.public["datasets"]["unlisted"] = 1
    here.hidden["server_repair_seconds"][2] = 1e9
    read(here, 0, 1.8e9)
    read(here, 1, 1.0e9)
    job = here.start("dssm", dataset=0)  # asks for 2e8
    here.commit()
    np.testing.assert_allclose(here.hidden["server_load"][:3], [1.0e9, 2.0e9, 0.0], rtol=1e-6)
    assert here.job(job)["stall"] == pytest.approx(1 - (1 + BANDWIDTH / 2.0e9) / 2, rel=1e-6)


def test_a_jobs_progress_is_its_speed_times_the_mean_share_of_its_copies(situations: ModuleType) -> None:
    here = situations.Situation(storage_stalls=True)
    place(here, 0, [0, 1])
    place(here, 1, [1])
    read(here, 1, 2.0e9)
    job = here.start("dssm", dataset=0)
    here.commit()
    factor = (1 + BANDWIDTH / (2.0e9 + 1e8)) / 2  # the job asks 1e8 of each copy
    assert here.job(job)["done"] == pytest.approx(SLOT * PLAIN["dssm"] * factor, rel=1e-6)
    assert here.job(job)["stall"] == pytest.approx(1 - factor, rel=1e-5)
    read_bytes = here.job(job)["done"] * 2e8 / PLAIN["dssm"]
    assert here.hidden["totals"]["bytes_read"] == pytest.approx(read_bytes, rel=1e-9)


def test_copies_take_at_most_their_share_and_reads_have_the_rest(situations: ModuleType) -> None:
    here = situations.Situation(storage_stalls=True)
    for dataset, holders in enumerate(([0], [0], [3])):
        place(here, dataset, holders)
        here.public["datasets"]["size"][dataset] = 1e15
    here.public["servers"]["capacity"][:] = 1e17
    fly(here, 0, 0, 1)
    fly(here, 1, 0, 2)
    fly(here, 2, 3, 2)
    read(here, 0, 1.2e9)
    here.commit()
    rate = 0.25 * BANDWIDTH / 2  # each flight shares a server with another
    np.testing.assert_allclose(here.hidden["server_copying"], [2 * rate, rate, 2 * rate, rate, 0, 0, 0, 0], rtol=1e-12)
    assert here.info["bytes_moved"] == pytest.approx(3 * rate * SLOT, rel=1e-12)
    assert here.hidden["served_share"][0] == pytest.approx((BANDWIDTH - 2 * rate) / 1.2e9, rel=1e-6)
    assert here.public["servers"]["utilisation"][0] == pytest.approx(1.2e9 / (BANDWIDTH - 2 * rate), rel=1e-6)


def test_a_copy_is_live_from_the_sub_slot_in_which_it_arrives(situations: ModuleType) -> None:
    here = situations.Situation(storage_stalls=True)
    place(here, 0, [0])
    here.public["datasets"]["size"][0] = 0.25 * BANDWIDTH * STEP * 3.5  # four sub-slots
    fly(here, 0, 0, 1)
    read(here, 0, 2.5e9)
    here.commit()
    served = 3 * 0.75 * BANDWIDTH / 2.5e9 + 7 * 1.0  # alone and copying, then two free servers share
    assert here.info["stall_share"] == pytest.approx(1 - (served - 1 + (1 - 0.125 / 1)) / 10, rel=1e-6)
    assert here.info["copies_added"] == 1
    assert here.info["bytes_moved"] == pytest.approx(0.25 * BANDWIDTH * STEP * 3.5, rel=1e-12)
    assert here.public["datasets"]["live"][0] == 2


def test_without_a_live_copy_a_job_stands_still_and_its_reader_is_charged(situations: ModuleType) -> None:
    here = situations.Situation(storage_stalls=True)
    place(here, 0, [0, 1])
    read(here, 0, 7.0e8)  # two readers
    job = here.start("dssm", dataset=0)
    for server in (0, 1):
        here.public["servers"]["up"][server] = 0
    here.public["datasets"]["live"][0] = 0
    here.public["datasets"]["unlisted"][0] = 1
    here.hidden["server_repair_seconds"][:2] = 1e9
    here.commit()
    assert here.job(job)["done"] == 0.0
    assert here.info["unavailable_share"] == pytest.approx(0.9 / (0.7 + 0.9), rel=1e-6), "one slot of two"
    assert here.info["reward_terms"]["unavailable"] == pytest.approx(-(2 + 1) * SLOT / 3600 / 100, rel=1e-6)


CHANGES = {
    "hidden_coefficients": {"speed"},
    "noisy_speed": {"seen over true"},
    "restart_cost": {"pause"},
    "spread_cost": {"speed"},
    "colocation_cost": {"speed"},
    "storage_stalls": {"stall", "slow"},
}
"""What each switch governs."""


def busy_slot(situations: ModuleType, **switches: bool) -> dict[str, Any]:
    """One slot in which every coupling bites where it is on: two neighbours, one spread, a busy server."""
    here = situations.Situation(**{**dict.fromkeys(CHANGES, True), **switches})
    multipliers = [1.3, 0.8, 1.4, 1.0, 1.1, 0.9] if here.env.config.hidden_coefficients else [1.0] * 6
    jobs = [here.add_job("resnet-50", dataset=0), here.add_job("resnet-50", dataset=1)]
    here.scenario["jobs"]["multiplier"][jobs] = multipliers
    place(here, 0, [0])
    place(here, 1, [1])
    read(here, 0, 3e9)
    here.commit()
    here.put(jobs[0], [0, 1], [0])
    here.put(jobs[1], [0], [2])
    here.commit()
    public, secret = here.public["jobs"][jobs], here.hidden["jobs"][jobs]
    return {
        "speed": secret["true_speed"].copy(),
        "seen over true": public["observed_speed"] / secret["true_speed"],
        "pause": secret["pause_seconds"].copy(),
        "stall": public["stall"].copy(),
        "slow": here.hidden["speed_factor"][:2].copy(),
    }


@pytest.mark.parametrize("switch", CHANGES)
def test_a_switch_turns_off_its_effect_and_no_other(situations: ModuleType, switch: str) -> None:
    everything, without = busy_slot(situations), busy_slot(situations, **{switch: False})
    changed = {name for name, value in everything.items() if not np.allclose(value, without[name], rtol=1e-9, atol=0)}
    # A job reads at its speed, so that another speed or a pause also shifts the share that the busy server serves.
    side_effects = {"stall", "slow"} if CHANGES[switch] <= {"speed", "pause"} else set()
    assert CHANGES[switch] <= changed <= CHANGES[switch] | side_effects
    neutral = {"pause": 0.0, "seen over true": 1.0, "slow": 1.0, "stall": 0.0}
    for name in CHANGES[switch] & set(neutral):
        np.testing.assert_allclose(without[name], neutral[name])
