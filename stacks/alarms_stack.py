"""Who hears of alarms: the topic that all of the app's tell, and its subscribers. And a page of
figures to look at."""

import json

from aws_cdk import CfnOutput, Environment, Stack
from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_events as events
from aws_cdk import aws_iam as iam
from aws_cdk import aws_sns as sns
from aws_cdk import aws_sns_subscriptions as subscriptions
from constructs import Construct

from stacks.acknowledge import acknowledge
from stacks.components.dashboard import dashboard_body
from stacks.settings import Settings


class AlarmsStack(Stack):
    """Alarms find the topic by its name, so other stacks come and go without it, and a deploy of
    this one changes who is told."""

    def __init__(self, scope: Construct, id: str, *, settings: Settings) -> None:
        super().__init__(scope, id, env=Environment(region=settings.region))
        topic = sns.Topic(self, "Topic", topic_name=settings.names.alarms, enforce_ssl=True)
        # A topic with a policy of its own has lost the default one, by which the account's alarms
        # may publish (developer guide, sns-access-policy-use-cases; EventBridge's user guide,
        # eb-use-conditions).
        for service, source in (("cloudwatch", "alarm:*"), ("events", "rule/*")):
            topic.add_to_resource_policy(
                iam.PolicyStatement(
                    actions=["sns:Publish"],
                    principals=[iam.ServicePrincipal(f"{service}.amazonaws.com")],
                    resources=[topic.topic_arn],
                    conditions={
                        "StringEquals": {"aws:SourceAccount": self.account},
                        "ArnLike": {
                            "aws:SourceArn": self.format_arn(service=service, resource=source)
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
        # Without events.Rule: it would let the rules of all accounts publish.
        changed = events.CfnRule(
            self,
            "StoppedOrStarted",
            description="Endpoints that were stopped or started by the clock",
            event_pattern={"source": [settings.names.endpoint_events]},
            targets=[
                events.CfnRule.TargetProperty(
                    id="Told",
                    arn=topic.topic_arn,
                    # lambda/idle_guard/handler.py
                    input_path="$.detail.message",
                )
            ],
        )
        acknowledge(
            changed,
            "Nobody would read a queue of lost notices: what is stopped GET /v1/models says too.",
            "Serverless-EventBusDLQ",
        )
        CfnOutput(self, "AlarmTopic", value=topic.topic_arn)
        if settings.alarms.dashboard:
            dashboard = cloudwatch.CfnDashboard(
                self,
                "Dashboard",
                dashboard_name=settings.names.dashboard(settings.region),
                dashboard_body=json.dumps(dashboard_body(settings)),
            )
            CfnOutput(self, "DashboardName", value=dashboard.ref)
