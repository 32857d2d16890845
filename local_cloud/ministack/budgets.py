"""AWS::Budgets::Budget for CloudFormation: kept, and told of to nobody, as nothing costs here."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from ministack.services import budgets

from local_cloud.api_shapes import BadRequest, check_request, coerced_to, input_shape
from local_cloud.ministack.cloudformation import Properties, Provisioned, ResourceType, register

NOTICES = "NotificationsWithSubscribers"


def register_budgets(account: str) -> None:
    def create(generated: str, props: Properties) -> Provisioned:
        budget = {"BudgetName": generated, **props["Budget"]}
        asked = {"AccountId": account, "Budget": budget, NOTICES: props.get(NOTICES) or []}
        try:
            request = coerced_to(input_shape("budgets", "CreateBudget"), asked)
            check_request("budgets", "CreateBudget", request)
        except BadRequest as error:
            raise ValueError(str(error)) from error
        _done(budgets._create_budget(request))
        return budget["BudgetName"], {}

    def delete(name: str, _props: Properties) -> None:
        _done(budgets._delete_budget({"AccountId": account, "BudgetName": name}))

    def update(name: str, _old: Properties, new: Properties) -> Provisioned:
        delete(name, {})
        return create(name, new)

    # Template reference: a changed Budget/BudgetName or notification replaces it.
    register(ResourceType("AWS::Budgets::Budget", create, update, delete, replacing=()))


def _done(answer: tuple[int, Mapping[str, str], bytes]) -> None:
    status, _, body = answer
    if status != 200:
        told: Any = json.loads(body)
        raise ValueError(told.get("message") or told.get("Message") or str(told))
