"""What takes longer than a request may: the checker's function does it, asked without waiting."""

import json
from dataclasses import dataclass
from typing import Any, Literal

Action = Literal["check", "stop", "finish"]
"""`check` a new batch and hand it to its engine; `stop` one that is cancelled or out of time;
`finish` one whose pictures are all there, or will be no more. Each may be asked for twice."""


@dataclass(frozen=True)
class Tasks:
    """`functions` is botocore's client of Lambda, whose errors pass through; `function` the
    checker's name."""

    functions: Any
    function: str

    def ask(self, action: Action, batch_id: str) -> None:
        task = {"action": action, "batch_id": batch_id}
        self.functions.invoke(
            FunctionName=self.function, InvocationType="Event", Payload=json.dumps(task).encode()
        )
