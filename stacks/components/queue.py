"""A queue that is encrypted, takes TLS alone and keeps what is in it for as long as SQS does."""

from aws_cdk import Duration
from aws_cdk import aws_sqs as sqs
from constructs import Construct

from stacks.acknowledge import acknowledge

TRIES_OF_ITS_OWN = "It is a dead-letter queue: what fails once more stays in it, to be looked at."


class Queue(sqs.Queue):
    """`dead_letters` get what has failed; without them it is a dead-letter queue itself. `name` is
    for a queue that is found by its name."""

    def __init__(
        self,
        scope: Construct,
        id: str,
        *,
        name: str | None = None,
        fifo: bool = False,
        visibility_timeout: Duration | None = None,
        dead_letters: sqs.DeadLetterQueue | None = None,
    ) -> None:
        super().__init__(
            scope,
            id,
            queue_name=name,
            fifo=fifo or None,
            encryption=sqs.QueueEncryption.SQS_MANAGED,
            enforce_ssl=True,
            visibility_timeout=visibility_timeout,
            retention_period=Duration.days(14),
            dead_letter_queue=dead_letters,
        )
        acknowledge(
            self,
            "Encrypted with SQS's own keys, which the check doesn't count. With a key of the "
            "account whoever sends needs it too: EventBridge, SNS, Lambda.",
            "CKV_AWS_27",
        )
        if dead_letters is None:
            acknowledge(
                self,
                TRIES_OF_ITS_OWN,
                "AwsSolutions-SQS3",
                "Serverless-SQSRedrivePolicy",
            )
