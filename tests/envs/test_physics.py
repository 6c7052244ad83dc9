"""What the simulator computes, against arithmetic by hand."""

from __future__ import annotations

from types import ModuleType

import numpy as np
import pytest

from psgym.envs.cluster.kinds import KINDS

SLOT = 300.0
UP, DOWN = 1, 2


def formula(name: str, mode: int, p: int, w: int, spread: float = 0.0) -> float:
    """The curve of a kind in samples/s, written once more from the documentation."""
    kind = next(kind for kind in KINDS if kind.name == name)
    if mode == 1:
        a, k = kind.async_
        return kind.batch_size * w / ((a + k * (1 + spread) * max(1.0, w / p)) * (1 + 0.02 * (w + p)))
    terms = np.array([kind.batch_size / w, 1.0, (1 + spread) * w / p, w, p, 1 / p])
    return float(kind.batch_size / (np.array(kind.sync) @ terms))


@pytest.mark.parametrize("name", [kind.name for kind in KINDS])
def test_speed_is_that_of_the_kinds_curve(situations: ModuleType, name: str) -> None:
    for mode in (0, 1):
        for p, w in ((1, 1), (2, 1), (1, 2), (4, 2), (3, 5)):
            here = situations.Situation()
            job = here.start(
                name, mode=mode, workers=tuple(k // 2 for k in range(w)), servers=tuple(3 + k for k in range(p))
            )
            here.commit()
            assert here.secret(job)["true_speed"] == pytest.approx(formula(name, mode, p, w), rel=1e-12)
            assert here.job(job)["done"] == pytest.approx(SLOT * formula(name, mode, p, w), rel=1e-12)


def test_looked_up_speeds_are_those_of_the_curve(situations: ModuleType) -> None:
    """Within the table, at its edge and beyond it."""
    from psgym.envs.cluster.speed import TABLED, nominal_speed

    settings = situations.Situation().public["settings"]
    sizes = (1, 2, 7, TABLED - 1, TABLED, TABLED + 9)
    for k, kind in enumerate(KINDS):
        for mode, p, w in np.ndindex(2, len(sizes), len(sizes)):
            found = nominal_speed(settings, k, mode, sizes[p], sizes[w])
            assert found == pytest.approx(formula(kind.name, mode, sizes[p], sizes[w]), rel=1e-12)
        assert nominal_speed(settings, k, 0, 0, 3) == nominal_speed(settings, k, 1, 3, 0) == 0.0


def test_hidden_coefficients_scale_each_term(situations: ModuleType) -> None:
    here = situations.Situation()
    job = here.start("vgg-16", workers=(0, 0), servers=(0,))
    here.scenario["jobs"][job]["multiplier"] = [1.5, 1.0, 0.5, 2.0, 1.0, 1.0]
    here.commit()
    t = np.array(KINDS[1].sync) * [1.5, 1.0, 0.5, 2.0, 1.0, 1.0]
    assert here.secret(job)["true_speed"] == pytest.approx(32 / (t @ [16, 1, 2, 2, 1, 1]), rel=1e-12)
    assert here.job(job)["ratio"] == pytest.approx(
        0.5 + 0.5 * here.secret(job)["true_speed"] / formula("vgg-16", 0, 1, 2)
    )


@pytest.mark.parametrize("arrival", [0.0, 17.25, 299.0])
@pytest.mark.parametrize("seconds", [12.5, 300.0, 4321.0])
def test_a_lone_job_ends_exactly_when_its_samples_are_done(
    situations: ModuleType, arrival: float, seconds: float
) -> None:
    here = situations.Situation()
    job = here.start("dssm", samples=seconds * formula("dssm", 0, 1, 1), arrival=arrival)
    here.commit(int(seconds // SLOT) + 1)
    assert here.info["jobs_finished"] == 1
    assert here.secret(job)["finish_seconds"] == pytest.approx(SLOT + seconds - arrival, rel=1e-12)
    assert here.info["mean_completion_seconds"] == pytest.approx(SLOT + seconds - arrival, rel=1e-12)


def test_spread_grows_the_exchange_term_by_a_fifth_a_node(situations: ModuleType) -> None:
    for mode in (0, 1):
        for on, extra in (((0, 0), 0), ((0, 1), 1), ((1, 2), 2)):
            here = situations.Situation(spread_cost=True)
            job = here.start("resnet-50", mode=mode, workers=on, servers=(0,))
            here.commit()
            assert here.secret(job)["true_speed"] == pytest.approx(
                formula("resnet-50", mode, 1, 2, 0.2 * extra), rel=1e-12
            )


def test_each_co_located_job_costs_eight_percent(situations: ModuleType) -> None:
    here = situations.Situation(colocation_cost=True)
    jobs = [here.add_job("dssm") for _ in range(4)]
    here.commit()
    for job, workers, servers in zip(jobs, ([0], [0], [1], [3]), ([0], [2], [2], [3]), strict=True):
        here.put(job, workers, servers)
    here.commit()
    slowed = [here.secret(job)["true_speed"] / formula("dssm", 0, 1, 1) for job in jobs]
    assert slowed == pytest.approx([1 / 1.08, 1 / 1.08, 1 / 1.08, 1.0], rel=1e-12)


def test_a_restart_is_paid_once_and_only_for_a_change(situations: ModuleType) -> None:
    here = situations.Situation(restart_cost=True)
    job = here.start(workers=(0,), servers=(0,))
    plans: list[tuple[list[int], list[int], bool]] = [
        ([0], [0], True),
        ([0], [0], False),
        ([0], [1], True),
        ([0], [1], False),
        ([2], [1], True),
        ([2, 2], [1], True),
        ([2, 2], [1, 1], True),
        ([2, 2], [1], True),
        ([2], [1], True),
        ([], [], True),
        ([2], [1], True),
    ]
    pauses = []
    for workers, servers, changed in plans:
        before = here.job(job)["done"]
        here.put(job, workers, servers)
        here.commit()
        speed = formula("seq2seq", 0, len(servers), len(workers)) if workers else 1.0
        gained = here.job(job)["done"] - before
        lost = SLOT - gained / speed
        if not workers:
            assert gained == 0.0
        elif changed:
            pauses.append(lost)
            assert 30.0 <= lost <= 120.0
        else:
            assert lost == pytest.approx(0.0, abs=1e-9)
    assert len(set(pauses)) == len(pauses) == 8
    assert here.info["restarts"] == 8  # the first start is none


@pytest.mark.parametrize("seed", range(4))
def test_a_job_ends_after_its_restart_and_reads_nothing_during_it(situations: ModuleType, seed: int) -> None:
    here = situations.Situation(seed, restart_cost=True)
    job = here.start("dssm", samples=2.0 * formula("dssm", 0, 1, 1))
    here.commit()
    pause = here.secret(job)["pause_seconds"]
    assert 30.0 <= pause <= 120.0
    assert here.secret(job)["finish_seconds"] == pytest.approx(SLOT + pause + 2.0, rel=1e-12)
    long = here.start("dssm")
    demanded = float(here.hidden["totals"]["bytes_demanded"])
    here.commit()
    asked = here.hidden["totals"]["bytes_demanded"] - demanded
    assert asked == pytest.approx(2e8 * (SLOT - here.secret(long)["pause_seconds"]), rel=1e-9)


def test_a_node_is_usable_after_its_boot_and_billed_from_the_order(situations: ModuleType) -> None:
    here = situations.Situation(boot_seconds=400.0)
    here.act(DOWN)
    here.commit()
    assert here.info["node_hours"] == pytest.approx(11 * SLOT / 3600)
    assert not here.env.action_masks()[UP], "an order cannot be reversed within the boot delay"
    here.commit()
    here.act(UP)
    hours, fits = here.info["node_hours"], []
    for _ in range(3):
        here.commit()
        assert here.info["node_hours"] == pytest.approx(hours + 12 * SLOT / 3600)
        hours = here.info["node_hours"]
        fits.append(int(here.public["fits"][0, 1]))
    assert fits == [11, 12, 12], "400 s end within the second slot"


def test_a_draining_node_takes_nothing_and_is_billed_until_empty(situations: ModuleType) -> None:
    here = situations.Situation()
    busy = here.start(workers=(0,), servers=(0,))
    here.public["nodes"]["tasks"][1:] += 5  # every other node looks fuller
    here.act(DOWN)
    here.public["nodes"]["tasks"][1:] -= 5
    assert here.public["nodes"]["draining"].tolist() == [1] + [0] * 11
    assert here.public["fits"][0, 1] == 11
    hours = here.info["node_hours"]
    here.commit()
    assert here.info["node_hours"] == pytest.approx(hours + 1.0), "its tasks still run"
    assert here.job(busy)["done"] == pytest.approx(SLOT * formula("seq2seq", 0, 1, 1))
    assert here.job(busy)["workers"] == 0, "a change of capacity opens a plan"
    here.commit()
    assert here.info["node_hours"] == pytest.approx(hours + 1.0 + 11 / 12)
    assert here.public["nodes"]["on"][0] == 0


def test_a_checkpoint_costs_five_seconds_every_fifteen_minutes(situations: ModuleType) -> None:
    here = situations.Situation(checkpoint_pause_seconds=5.0)
    job = here.start()
    here.commit(12)
    assert here.job(job)["done"] == pytest.approx((12 * SLOT - 3 * 5.0) * formula("seq2seq", 0, 1, 1), rel=1e-12)
