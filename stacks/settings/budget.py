"""`sd.budget`: what the account may cost a month before somebody is told."""

from collections.abc import Iterator
from dataclasses import dataclass

from stacks.settings.problems import Problem
from stacks.settings.rules import list_of, number, optional, setting, text

# Budgets' API reference, Notification: one subscriber by topic and ten by mail.
MOST_MAILS = 10
MAILS = list_of(text(r"[^@\s,]+@[^@\s,]+\.[^@\s,]+", "a mail address"))


@dataclass(frozen=True, kw_only=True)
class BudgetSettings:
    """With `usd_per_month` the addresses of `mails` are told when the account's costs, all of them,
    reach 80 % and 100 % of it, and when the month's forecast does. Nothing is stopped."""

    usd_per_month: float | None = setting(optional(number(1, 10_000_000)))
    mails: tuple[str, ...] | None = setting(optional(MAILS))

    def problems(self) -> Iterator[Problem]:
        if (self.usd_per_month is None) != (self.mails is None):
            yield Problem("sd.budget", vars(self), "usd_per_month and mails together, or neither")
        if len(self.mails or ()) > MOST_MAILS:
            yield Problem("sd.budget.mails", self.mails, f"at most {MOST_MAILS}")
