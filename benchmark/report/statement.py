"""What is said with every table of a run: steps, size, load, date, prices and their source."""

from collections.abc import Sequence

from benchmark.prompts import SMALL_MODELS
from benchmark.report.analysis import VariantFigures
from benchmark.run.records import Results
from benchmark.table import NO_PRICE
from sd_contract.registration import Registration

LAPTOP = "laptop, small model: ratios between variants here say nothing about AWS"


def is_laptop(results: Results) -> bool:
    return results.info.local or results.info.prompts in SMALL_MODELS


def base_load(figures: Sequence[VariantFigures]) -> str:
    loads = dict.fromkeys(f"concurrency {f.base.concurrency}" for f in figures)
    return " / ".join(loads) or "no load"


def statement(results: Results, load: str) -> str:
    info = results.info
    dates = sorted({record.sent_at[:10] for record in results.measured}) or [info.started[:10]]
    when = dates[0] if len(dates) == 1 else f"{dates[0]} to {dates[-1]}"
    variants = {record.model: record.variant for record in results.measured}.values()
    prices = "; ".join(dict.fromkeys(_price(variant) for variant in variants)) or "none"
    said = (
        f"{info.steps_said}, {info.size}, guidance {info.guidance_scale:g}, {load}; "
        f"measured {when} on {info.url}; prices: {prices}"
    )
    return f"{said}. {LAPTOP}" if is_laptop(results) else said


def _price(variant: Registration) -> str:
    if variant.price_usd_per_hour is None:
        return f"{variant.instance_type} {NO_PRICE} ({variant.region})"
    return (
        f"{variant.instance_type} ${variant.price_usd_per_hour:g}/h "
        f"({variant.region}, {variant.price_date}, {variant.price_source})"
    )
