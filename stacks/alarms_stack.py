"""Who hears of alarms: the topic that all of the app's tell, and its subscribers."""

from aws_cdk import CfnOutput, Environment, Stack
from aws_cdk import aws_iam as iam
from aws_cdk import aws_sns as sns
from aws_cdk import aws_sns_subscriptions as subscriptions
from constructs import Construct

from stacks.acknowledge import acknowledge
from stacks.settings import Settings


class AlarmsStack(Stack):
    """Alarms find the topic by its name, so other stacks come and go without it, and a deploy of
    this one changes who is told."""

    def __init__(self, scope: Construct, id: str, *, settings: Settings) -> None:
        super().__init__(scope, id, env=Environment(region=settings.region))
        topic = sns.Topic(self, "Topic", topic_name=settings.names.alarms, enforce_ssl=True)
        # A topic with a policy of its own has lost the default one, by which the account's alarms
        # may publish (developer guide, sns-access-policy-use-cases).
        topic.add_to_resource_policy(
            iam.PolicyStatement(
                actions=["sns:Publish"],
                principals=[iam.ServicePrincipal("cloudwatch.amazonaws.com")],
                resources=[topic.topic_arn],
                conditions={
                    "StringEquals": {"aws:SourceAccount": self.account},
                    "ArnLike": {
                        "aws:SourceArn": self.format_arn(service="cloudwatch", resource="alarm:*")
                    },
                },
            )
        )
        acknowledge(
            topic,
            "CloudWatch may not publish to a topic under AWS's own key, and one of one's own costs "
            "$1 a month (SNS's guide, sns-key-management): an alarm's text has no secret in it.",
            "CKV_AWS_26",
        )
        for each in settings.alarms.subscribers or ():
            told = topic.add_subscription(
                subscriptions.UrlSubscription(each)
                if each.startswith("https://")
                else subscriptions.EmailSubscription(each)
            )
            acknowledge(
                told,
                "Nobody would read a queue of lost notices: the alarm itself stays in ALARM.",
                "Serverless-SNSRedrivePolicy",
            )
        CfnOutput(self, "AlarmTopic", value=topic.topic_arn)
