"""A Lambda function of a local cloud's account, made of a test's few lines."""

from __future__ import annotations

import io
import json
import zipfile
from typing import Any

from local_cloud.child import ChildCloud
from tests.fakes.local_account import Statement, allow, arn, log_lines, make_role

LOGS = allow("logs:CreateLogGroup logs:CreateLogStream logs:PutLogEvents")


class LocalFunction:
    def __init__(
        self, cloud: ChildCloud, name: str, code: str, *allowed: Statement, **more: Any
    ) -> None:
        """Its role may do this and log. `code` defines handler(event, context)."""
        self.cloud, self.name, self.arn = cloud, name, arn("lambda", f"function:{name}")
        self.client = cloud.client("lambda")
        role = make_role(cloud, name, "lambda", LOGS, *allowed)
        packed = io.BytesIO()
        with zipfile.ZipFile(packed, "w") as archive:
            archive.writestr("index.py", code)
        self.client.create_function(
            FunctionName=name,
            Runtime="python3.12",
            Handler="index.handler",
            Role=role,
            Code={"ZipFile": packed.getvalue()},
            Timeout=10,
            **more,
        )

    def let(self, service: str, source_arn: str) -> None:
        """As AWS::Lambda::Permission does."""
        self.client.add_permission(
            FunctionName=self.name,
            StatementId=service,
            Action="lambda:InvokeFunction",
            Principal=f"{service}.amazonaws.com",
            SourceArn=source_arn,
        )

    def said(self) -> list[Any]:
        """What it has printed as JSON, one value a line, oldest first."""
        lines = log_lines(self.cloud, f"/aws/lambda/{self.name}")
        return [json.loads(line) for line in lines if line[:1] in '{["']
