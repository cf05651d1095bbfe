"""The Turing Change Point Dataset's scores, by their definitions (van den Burg and Williams 2020),
and its files: a JSON file for each series, and `annotations.json`.

Both scores are averages over annotators, who do not agree. F1: a change point is found if one is
within five rows; what nobody marked is wrong; the first row counts as a change point, found by
everybody. Covering: how well the segments overlap, by Jaccard's index, weighted by length.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np

from clew.analysis.baselines import Floats

MARGIN = 5  # rows

Detector = Callable[[Floats], list[int]]


@dataclass(frozen=True)
class Annotated:
    """Values [rows, dimensions], and each annotator's change points."""

    name: str
    values: Floats
    marks: Mapping[str, list[int]]


def true_positives(marks: Iterable[int], points: Iterable[int], margin: int = MARGIN) -> set[int]:
    """The marks that have a point within the margin; a point stands for one mark alone."""
    free = set(points)
    result = set()
    for mark in sorted(set(marks)):
        near = [(abs(mark - point), point) for point in free if abs(mark - point) <= margin]
        if near:
            free.discard(min(near)[1])
            result.add(mark)
    return result


def f1(marks: Mapping[str, list[int]], points: list[int]) -> float:
    """The F1 measure: precision against all annotators together, recall averaged over them."""
    annotated = {name: {0, *their} for name, their in marks.items()}
    predicted = {0, *points}
    union = set().union(*annotated.values())
    precision = len(true_positives(union, predicted)) / len(predicted)
    recall = np.mean(
        [len(true_positives(their, predicted)) / len(their) for their in annotated.values()]
    )
    return float(2 * precision * recall / (precision + recall))


def covering(marks: Mapping[str, list[int]], points: list[int], rows: int) -> float:
    """The covering metric, averaged over annotators."""
    predicted = _segments(points, rows)
    return float(np.mean([_cover(_segments(their, rows), predicted) for their in marks.values()]))


def _segments(points: Iterable[int], rows: int) -> list[tuple[int, int]]:
    edges = [0, *sorted({point for point in points if 0 < point < rows}), rows]
    return list(pairwise(edges))


def _cover(annotated: list[tuple[int, int]], predicted: list[tuple[int, int]]) -> float:
    total = 0.0
    for start, end in annotated:
        best = 0.0
        for first, last in predicted:
            common = max(min(end, last) - max(start, first), 0)
            best = max(best, common / (max(end, last) - min(start, first)))
        total += (end - start) * best
    return total / annotated[-1][1]


def evaluate(series: Iterable[Annotated], detect: Detector) -> tuple[float, float, int]:
    """The averages of F1 and of covering, and of how many series."""
    results = []
    for item in series:
        points = detect(item.values)
        results.append((f1(item.marks, points), covering(item.marks, points, len(item.values))))
    if not results:
        return float("nan"), float("nan"), 0
    scores = np.array(results).mean(0)
    return float(scores[0]), float(scores[1]), len(results)


def read(directory: Path) -> list[Annotated]:
    """A checkout of TCPD: every series that is there and annotated. Its demonstrations for
    annotators (`demo_…`) do not count."""
    found = sorted(directory.rglob("annotations.json"), key=lambda path: len(path.parts))
    if not found:
        raise FileNotFoundError(f"{directory} has no annotations.json")
    annotations = json.loads(found[0].read_text())
    result = {}
    for path in sorted(directory.rglob("*.json")):
        try:
            document = json.loads(path.read_text())
        except (ValueError, OSError):
            continue
        if not isinstance(document, dict) or not isinstance(document.get("series"), list):
            continue
        name = str(document.get("name", path.stem))
        marks = annotations.get(name)
        if marks and name not in result and not name.startswith("demo_"):
            columns = [
                np.array([np.nan if value is None else float(value) for value in part["raw"]])
                for part in document["series"]
            ]
            result[name] = Annotated(name, np.stack(columns, axis=1), marks)
    return list(result.values())
