"""What a deploy's endpoints cost while they are there."""

from collections.abc import Iterable, Iterator, Mapping

from operations.preflight.finding import Finding, ok, unknown
from operations.preflight.plan import Fleet
from stacks.catalogue.prices import Price

# AWS's own month, as its calculator counts (730 hours).
MONTH_H = 730
SUBJECT = "cost"


def cost(fleets: Iterable[Fleet], prices: Mapping[str, Price | None]) -> Iterator[Finding]:
    """`prices` by endpoint; of the instances that are there while nothing is asked of them."""
    fleets, total = [*fleets], 0.0
    for fleet in fleets:
        subject = f"{SUBJECT} of {fleet.endpoint}"
        if (price := prices[fleet.endpoint]) is None:
            advice = "python -m benchmark prices --refresh --region <region>, or price_usd_per_hour"
            yield unknown(subject, f"no price of {fleet.instance_type} is known", advice)
            continue
        hourly = price.usd_per_hour * fleet.idle
        total += hourly
        grows = f", {price.usd_per_hour:.2f} for each of up to {fleet.most}"
        found = f"{fleet.idle} x {fleet.instance_type}, ${hourly:.2f} an hour"
        found += grows if fleet.most > fleet.idle else ""
        yield ok(subject, f"{found} ({price.source}, {price.date})")
    if fleets and all(prices[fleet.endpoint] for fleet in fleets):
        found = f"${total:.2f} an hour, ${total * MONTH_H:,.0f} a month, used or not"
        yield ok(f"{SUBJECT} of all endpoints", f"{found}; what is drawn and built comes on top")
