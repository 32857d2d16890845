"""An AWS budget: mails when a month gets dear."""

from aws_cdk import aws_budgets as budgets
from constructs import Construct

from stacks.settings.budget import BudgetSettings

# Of what is spent, and of what the month will come to: told once each in a month.
NOTICES = (("ACTUAL", 80), ("ACTUAL", 100), ("FORECASTED", 100))


class Budget(Construct):
    """Of all the account's costs, since what surprises is what nobody thought of. AWS reckons them
    a few times a day: it comes hours late (Budgets' user guide, budgets-managing-costs)."""

    def __init__(self, scope: Construct, id: str, *, settings: BudgetSettings) -> None:
        super().__init__(scope, id)
        mails = [
            budgets.CfnBudget.SubscriberProperty(subscription_type="EMAIL", address=each)
            for each in settings.mails or ()
        ]
        budgets.CfnBudget(
            self,
            "Monthly",
            budget=budgets.CfnBudget.BudgetDataProperty(
                budget_type="COST",
                time_unit="MONTHLY",
                budget_limit=budgets.CfnBudget.SpendProperty(
                    amount=settings.usd_per_month or 0, unit="USD"
                ),
            ),
            notifications_with_subscribers=[
                budgets.CfnBudget.NotificationWithSubscribersProperty(
                    notification=budgets.CfnBudget.NotificationProperty(
                        notification_type=kind,
                        comparison_operator="GREATER_THAN",
                        threshold=percent,
                        threshold_type="PERCENTAGE",
                    ),
                    subscribers=mails,
                )
                for kind, percent in NOTICES
            ],
        )
