"""How good a search for similar pictures is: by what the pictures show (nDCG), and against one that
compares with every vector (recall)."""

import math
from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from benchmark.table import Column, Table

NEAREST = 10
Floats = NDArray[np.float32]


@dataclass(frozen=True)
class Searched:
    """One search for what is near a picture: `found` and `exact` are numbers of pictures, the
    nearest first; `gains` are what each picture shares with the one that was asked for."""

    found: Sequence[int]
    exact: Sequence[int]
    gains: Sequence[float]


def shared(one: Sequence[Hashable], other: Sequence[Hashable]) -> int:
    """Of what two pictures show, such as shape, colour and background."""
    return sum(mine == theirs for mine, theirs in zip(one, other, strict=True))


def ndcg(found: Sequence[int], gains: Sequence[float]) -> float:
    """Normalised discounted cumulative gain of the first NEAREST, linear gains and log₂ discounts
    (Järvelin and Kekäläinen, 2002): 1 where nothing better was there."""
    best = _dcg(sorted(gains, reverse=True))
    return _dcg([gains[number] for number in found]) / best if best else 1.0


def recall(found: Sequence[int], exact: Sequence[int]) -> float:
    """The share of the exact nearest that were found."""
    return len({*found} & {*exact}) / len(exact) if exact else 1.0


def exact_nearest(vectors: Floats, number: int) -> list[int]:
    """The nearest to a vector by cosine, without itself; `vectors` are rows of length 1."""
    distances = 1 - vectors @ vectors[number]
    distances[number] = math.inf
    most = min(NEAREST, len(vectors) - 1)
    return [int(each) for each in np.argsort(distances, kind="stable")[:most]]


def similar_table(
    searches: Sequence[Searched], seconds: Sequence[float], statement: str
) -> Table[None]:
    found = [ndcg(each.found, each.gains) for each in searches]
    exact = [ndcg(each.exact, each.gains) for each in searches]
    recalled = [recall(each.found, each.exact) for each in searches]
    return Table(
        "similar",
        f"Similar pictures, {NEAREST} for each of {len(searches)}",
        [
            Column("nDCG@10", ".3f", lambda _: float(np.mean(found))),
            Column("of exact search", ".3f", lambda _: float(np.mean(exact))),
            Column("recall@10", ".3f", lambda _: float(np.mean(recalled))),
            Column("p50, ms", ".0f", lambda _: 1000 * float(np.median(seconds))),
        ],
        [None],
        statement,
        ["Relevant is what shows the same shape, colour and background: one point each."],
    )


def _dcg(gains: Sequence[float]) -> float:
    return sum(gain / math.log2(place + 2) for place, gain in enumerate(gains[:NEAREST]))
