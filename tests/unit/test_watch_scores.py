"""The scores of NAB and TCPD by bench/watch, on small directories whose scores are known."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from watch import made, nab, tcpd


def file_of(rows: int, windows: list[tuple[int, int]]) -> made.Labelled:
    return made.Labelled("a", np.zeros(rows), 300.0, windows)


def at(rows: int, *alarms: int) -> np.ndarray:
    scores = np.zeros(rows)
    scores[list(alarms)] = 1.0
    return scores


def total(series: made.Labelled, *alarms: int) -> float:
    return nab.Alarms.of_file(series, at(len(series.values), *alarms)).points(1.0)


def test_nab_weighs_as_published() -> None:
    """Weights of NAB's own examples: sigmoids of the place in a window and after it."""
    series = file_of(1000, [(500, 599)])
    assert total(series) == -1.0
    assert total(series, 500) == pytest.approx(1.0)
    assert total(series, 599) == pytest.approx(0.0253, abs=1e-3)
    assert total(series, 549) == pytest.approx((2 / (1 + np.exp(-2.55)) - 1) / 0.98661, abs=1e-3)
    assert total(series, 500, 510, 590) == pytest.approx(1.0)  # the first one counts
    assert total(series, 300) == pytest.approx(-1.11)  # before any window: the whole cost
    assert total(series, 500, 998) == pytest.approx(1 - 0.11)  # long after it
    near = total(series, 500, 605)
    assert near == pytest.approx(1 + 0.11 * (2 / (1 + np.exp(5 * 6 / 99)) - 1))
    assert total(series, 100) == -1.0  # the first 15 % are not scored


def test_nab_normalizes_between_nothing_and_perfect() -> None:
    corpus = [
        file_of(1000, [(500, 599)]),
        file_of(1000, [(300, 349), (700, 749)]),
        file_of(900, []),
    ]

    def silent(values: np.ndarray, step: float) -> np.ndarray:
        return np.zeros(len(values))

    assert nab.evaluate(corpus, silent, 1.0).fixed == 0

    answers = iter([at(1000, 500), at(1000, 300, 700), at(900)])
    scored = nab.evaluate(corpus, lambda values, step: next(answers), 1.0)
    assert (scored.best, scored.fixed) == (pytest.approx(100.0), pytest.approx(100.0))
    assert (scored.files, scored.windows, scored.found, scored.false_alarms) == (3, 3, 3, 0)


def test_nab_is_read_as_it_is_published(tmp_path: Path) -> None:
    folder = tmp_path / "data" / "realThings"
    folder.mkdir(parents=True)
    rows = [f"2014-04-{day:02} {hour:02}:00:00,{day}.5" for day in (1, 2) for hour in range(24)]
    (folder / "a.csv").write_text("timestamp,value\n" + "\n".join(rows) + "\n")
    labels = {
        "realThings/a.csv": [["2014-04-01 20:00:00.000000", "2014-04-02 03:00:00.000000"]],
        "realThings/missing.csv": [],
    }
    (tmp_path / "labels").mkdir()
    (tmp_path / "labels" / "combined_windows.json").write_text(json.dumps(labels))
    (series,) = nab.read(tmp_path)
    assert (series.step, len(series.values), series.values[30]) == (3600.0, 48, 2.5)
    assert series.windows == [(20, 27)]
    assert 0 <= nab.evaluate([series], nab.detect, 2.0).best <= 100


def test_nab_detector_finds_an_outage() -> None:
    values = 50 + np.random.default_rng(1).normal(0, 2, 2000)
    values[1600:1640] = 0
    scores = nab.detect(values, 300.0)
    assert scores[1600:1640].max() > scores[:1600].max()


def test_f1_is_that_of_the_definition() -> None:
    marks = {"a": [10, 50], "b": [12]}
    assert tcpd.f1({"a": []}, []) == 1.0
    # Found: 0 and one of 10 and 12. Precision 2/2; recall (2/3 + 2/2) / 2.
    assert tcpd.f1(marks, [11]) == pytest.approx(2 * 1 * (5 / 6) / (1 + 5 / 6))
    # 30 is wrong: precision 2/3.
    assert tcpd.f1(marks, [11, 30]) == pytest.approx(2 * (2 / 3) * (5 / 6) / (2 / 3 + 5 / 6))
    assert tcpd.true_positives([10, 12], [11]) == {10}
    assert tcpd.true_positives([10], [16]) == set()


def test_covering_is_that_of_the_definition() -> None:
    assert tcpd.covering({"a": [50]}, [50], 100) == 1.0
    assert tcpd.covering({"a": [50]}, [], 100) == 0.5
    # 0-50 is covered by 0-40 with 40/50, 50-100 by 40-100 with 50/60.
    assert tcpd.covering({"a": [50]}, [40], 100) == pytest.approx(0.5 * 0.8 + 0.5 * 50 / 60)
    assert tcpd.covering({"a": [], "b": [50]}, [], 100) == 0.75


def test_tcpd_is_read_as_it_is_published(tmp_path: Path) -> None:
    random = np.random.default_rng(2)
    raw = (random.normal(size=80) + 6 * (np.arange(80) >= 40)).tolist()
    folder = tmp_path / "datasets" / "nile"
    folder.mkdir(parents=True)
    (folder / "nile.json").write_text(
        json.dumps(
            {
                "name": "nile",
                "n_obs": 80,
                "n_dim": 1,
                "time": {"index": list(range(80))},
                "series": [{"label": "V1", "type": "float", "raw": [None, *raw[1:]]}],
            }
        )
    )
    (folder / "broken.json").write_text("{")
    annotations = {"nile": {"6": [40], "7": [38], "8": []}, "absent": {"1": [3]}}
    (tmp_path / "annotations.json").write_text(json.dumps(annotations))
    (series,) = tcpd.read(tmp_path)
    assert (series.name, series.values.shape, np.isnan(series.values[0, 0])) == (
        "nile",
        (80, 1),
        True,
    )
    assert tcpd.evaluate([series], lambda values: [40])[2] == 1
    with pytest.raises(FileNotFoundError):
        tcpd.read(folder)


def test_series_of_our_own_come_from_their_seed() -> None:
    first, again = made.machine_series(1, each=1), made.machine_series(1, each=1)
    assert [item.name for item in first] == [f"{kind.__name__}/0" for kind in made.KINDS]
    for one, other in zip(first, again, strict=True):
        np.testing.assert_array_equal(one.values, other.values)
        assert all(0 <= start < end < len(one.values) for start, end in one.windows)
