"""A day of traffic that nobody sent, to show what a dashboard looks like.

Requests come by chance, more of them by day. A variant draws one after another at an instance, as
fast as its settings say; a second instance of the first variant helps from noon on, and the last
one fails for a while in the evening. What comes of it is kept under the names of the metrics that
the app has, and summed up as CloudWatch does.
"""

import random
from bisect import bisect, insort
from collections import defaultdict
from collections.abc import Mapping, Sequence
from math import cos, tau

from operations.dashboard.figures import Figures, Line, Points
from stacks.components.endpoint_alarms import INSTANCES, INVOCATIONS, endpoint_metric
from stacks.components.inference_api import STAGE
from stacks.settings import Settings, VariantSettings

DAY_S, HOUR_S = 86_400, 3_600
SEED = 7
# Of the time an instance could draw, on a day's average; and of a container's time: made up too.
LOAD = 0.15
SHARES = {"text_encoder": 0.01, "vae_encode": 0.0, "denoise": 0.93, "vae_decode": 0.04,
          "encode": 0.02}  # fmt: skip
STORAGE_MS = 60.0
HELPED_H, FAILING_H = (12, 18), (19.5, 20.25)

Series = tuple[str, str, frozenset[tuple[str, str]]]
Samples = dict[Series, list[tuple[float, float]]]


def made_up(settings: Settings, start_s: float) -> Figures:
    """Of the day that begins at `start_s`; the same each time."""
    samples: Samples = defaultdict(list)
    variants = settings.variants
    for number, variant in enumerate(variants):
        helped = HELPED_H if number == 0 else (0, 0)
        failing = FAILING_H if number == len(variants) - 1 else (0, 0)
        _requests(settings, variant, random.Random(f"{SEED} {variant.name}"), samples,
                  start_s, helped, failing)  # fmt: skip

    def read(asked: Sequence[Line], start_s: float, end_s: float) -> list[Points]:
        return [_summed(samples, line, start_s, end_s) for line in asked]

    return read


def _requests(
    settings: Settings,
    variant: VariantSettings,
    chance: random.Random,
    samples: Samples,
    start_s: float,
    helped: tuple[float, float],
    failing: tuple[float, float],
) -> None:
    prefix, endpoint = settings.names.prefix, variant.endpoint_name
    model, gateway = {"model": variant.name}, {"ApiName": prefix, "Stage": STAGE}
    price = settings.prices[variant.name]
    usual_s = variant.usual_s

    def add(at: float, namespace: str, dimensions: Mapping[str, str], **values: float) -> None:
        for name, value in values.items():
            samples[namespace, name, frozenset(dimensions.items())].append((at, value))

    of_endpoint = endpoint_metric("", "", endpoint, "").dimensions
    free, at, came, left = [0.0, 0.0], 0.0, list[float](), list[float]()
    while at < DAY_S:
        # Most at 14 o'clock, hardly any at 2.
        busy = LOAD / usual_s * (1 - 0.95 * cos(tau * (at / DAY_S - 2 / 24)))
        at += chance.expovariate(busy)
        instances = 2 if helped[0] <= at / HOUR_S < helped[1] else 1
        pictures = chance.choices((1, 2, 4), (8, 1.5, 0.5))[0]
        number = min(range(instances), key=lambda each: free[each])
        begins = max(at, free[number])
        container_s = pictures * usual_s * chance.lognormvariate(0, 0.05)
        moment = start_s + at
        if begins + container_s - at > 28:
            # The front door refuses it; nobody waits that long.
            add(moment, "AWS/ApiGateway", gateway, Count=1, **{"4XXError": 1})
            continue
        free[number] = begins + container_s
        came.append(at)
        insort(left, free[number])
        done = moment + (free[number] - at)
        fails = failing[0] <= at / HOUR_S < failing[1] and chance.random() < 0.4
        add(moment, "AWS/ApiGateway", gateway, Count=1, **{"4XXError": 0, "5XXError": float(fails)})
        add(done, INVOCATIONS, of_endpoint, Invocations=1, Invocation5XXErrors=float(fails))
        if fails:
            add(done, prefix, model, failed=1)
            continue
        times = {f"{stage}_ms": share * container_s * 1000 for stage, share in SHARES.items()}
        storage = STORAGE_MS * pictures * chance.lognormvariate(0, 0.3)
        total = (free[number] - at) * 1000 + storage
        add(done, prefix, model, pictures=pictures, failed=0, total_ms=total, storage_ms=storage)
        add(done, prefix, model, **times)
        if price:
            cost = price.usd_per_hour * container_s / HOUR_S / pictures
            add(done, prefix, model, usd_per_picture=cost)
    for minute in range(0, DAY_S, 60):
        now = start_s + minute
        instances = 2 if helped[0] <= minute / HOUR_S < helped[1] else 1
        there = bisect(came, minute) - bisect(left, minute)
        for number in range(instances):
            add(now, INSTANCES, of_endpoint, MemoryUtilization=55)
            add(
                now,
                INVOCATIONS,
                of_endpoint,
                ConcurrentRequestsPerModel=(there + number) // instances,
            )


def _summed(samples: Samples, line: Line, start_s: float, end_s: float) -> Points:
    periods: dict[float, list[float]] = defaultdict(list)
    for at, value in samples.get((line.namespace, line.name, frozenset(line.dimensions)), ()):
        if start_s <= at < end_s:
            periods[at // line.period_s * line.period_s].append(value)
    return {begin: statistic(line.statistic, values) for begin, values in sorted(periods.items())}


def statistic(name: str, values: Sequence[float]) -> float:
    """CloudWatch's, of one period."""
    if name.startswith("p"):
        ordered = sorted(values)
        return ordered[min(int(len(ordered) * float(name[1:]) / 100), len(ordered) - 1)]
    return {
        "Sum": sum(values),
        "Average": sum(values) / len(values),
        "Maximum": max(values),
        "SampleCount": len(values),
    }[name]
