"""What a variant's endpoints cost while they run, in the words that a deploy prints."""

from sd_contract.registration import ASYNC, REAL_TIME
from stacks.catalogue.prices import HOURS_PER_MONTH
from stacks.settings import Settings, VariantSettings


def running_costs(settings: Settings, variant: VariantSettings) -> tuple[str, str]:
    """Of an hour and a month, of the instances alone: "1.41 USD (1 x ml.g5.xlarge, …)"."""
    price = settings.prices.get(variant.name)
    counts = [(s.min, s.max) for s in variant.scaling.schedule if s.max]
    least = most = 0
    if REAL_TIME in variant.serve:
        scaling = variant.scaling
        least = min([scaling.min_instances, *(low for low, _ in counts)])
        most = max([scaling.max_instances, *(high for _, high in counts)])
    if ASYNC in settings.batch.served(variant.serve):
        most += variant.async_.max_instances
    instances = (
        f"{least} x {variant.instance_type}"
        if least == most
        else (f"{least} to {most} x {variant.instance_type}")
    )
    if price is None:
        unknown = (
            f"unknown ({instances}): no price of {variant.instance_type} in {settings.region}; "
            f"{variant.path('price_usd_per_hour')} sets one"
        )
        return unknown, unknown
    stops = [
        *([f"{variant.idle_stop_h:g} h without a request"] if variant.idle_stop_h else []),
        *(["its schedule"] if variant.scaling.stops else []),
    ]
    until = f"; nothing while stopped, by {' or '.join(stops)}" if stops else ""
    if variant.scaling.on:
        until = ""

    def said(hours: float) -> str:
        usd = [count * hours * price.usd_per_hour for count in dict.fromkeys((least, most))]
        amount = " to ".join(f"{each:,.2f}" for each in usd)
        return f"{amount} USD ({instances}, price of {price.date}{until})"

    return said(1), said(HOURS_PER_MONTH)
