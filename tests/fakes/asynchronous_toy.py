"""A toy endpoint for asynchronous invocations, with what it reads, writes and tells by."""

from __future__ import annotations

import json
from typing import Any

from local_cloud.child import ChildCloud
from tests.fakes.local_account import allow, arn, make_role, policy, wait_for
from tests.fakes.toy_endpoint import GROUPS, PULLS_LOADS_LOGS, ToyEndpoint

OUTPUT = {"S3OutputPath": "s3://async/out", "S3FailurePath": "s3://async/failed"}


def make_asynchronous(cloud: ChildCloud) -> None:
    """The bucket, and the role `async` that may do all that such an endpoint does."""
    cloud.client("s3").create_bucket(Bucket="async")
    further = (
        allow("logs:CreateLogGroup", GROUPS),
        allow("s3:GetObject", "arn:aws:s3:::async/in/*"),
        allow("s3:PutObject", "arn:aws:s3:::async/out/*", "arn:aws:s3:::async/failed/*"),
        allow("sns:Publish", arn("sns", "*")),
    )
    make_role(cloud, "async", "sagemaker", *PULLS_LOADS_LOGS, *further)


class AsyncToy(ToyEndpoint):
    """With topics whose notifications a queue gets."""

    def __init__(self, cloud: ChildCloud, name: str) -> None:
        super().__init__(cloud, name)
        self.s3, self.sns, self.sqs = (cloud.client(one) for one in ("s3", "sns", "sqs"))
        from_sns = {**allow("sqs:SendMessage"), "Principal": {"Service": "sns.amazonaws.com"}}
        attributes = {"Policy": policy(from_sns)}
        self.queue = self.sqs.create_queue(QueueName=name, Attributes=attributes)["QueueUrl"]
        self.topics = {}
        for kind in ("SuccessTopic", "ErrorTopic"):
            topic = self.sns.create_topic(Name=f"{name}-{kind}")["TopicArn"]
            self.sns.subscribe(
                TopicArn=topic,
                Protocol="sqs",
                Endpoint=arn("sqs", name),
                Attributes={"RawMessageDelivery": "true"},
            )
            self.topics[kind] = topic

    def create_async(self, role: str = "async", **client: int) -> dict[str, Any]:
        output = {**OUTPUT, "NotificationConfig": self.topics}
        config: dict[str, Any] = {"OutputConfig": output}
        if client:
            config["ClientConfig"] = client
        return self.create(role=role, config={"AsyncInferenceConfig": config})

    def send(self, key: str, request: dict[str, Any] | None, **more: Any) -> dict[str, Any]:
        """InvokeEndpointAsync with this put to s3://async/in/`key` first; None puts nothing."""
        if request is not None:
            self.s3.put_object(Bucket="async", Key=f"in/{key}", Body=json.dumps(request).encode())
        answer: dict[str, Any] = self.runtime.invoke_endpoint_async(
            EndpointName=self.name, InputLocation=f"s3://async/in/{key}", **more
        )
        return answer

    def told(self) -> dict[str, Any]:
        """The next notification."""

        def received() -> Any:
            found = self.sqs.receive_message(QueueUrl=self.queue).get("Messages")
            if found:
                self.sqs.delete_message(
                    QueueUrl=self.queue, ReceiptHandle=found[0]["ReceiptHandle"]
                )
            return found

        return dict(json.loads(wait_for(received)[0]["Body"]))

    def read(self, location: str) -> bytes:
        key = location.removeprefix("s3://async/")
        return bytes(self.s3.get_object(Bucket="async", Key=key)["Body"].read())
