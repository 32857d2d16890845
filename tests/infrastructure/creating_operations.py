"""Which operation of which service makes a resource of a template, and where its properties differ
from that operation's members. A property that stands in neither is an error.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Elsewhere:
    """A property (or a path to one) that another operation takes: whole, as `member`, or "" by its
    own members; by one request for each of its items, or one for all. `beside` are properties that
    go along.

    `shape` stands in for an operation that takes patches, of which the model says nothing.
    """

    operation: str = ""
    member: str = ""
    beside: Mapping[str, str] = field(default_factory=dict)
    each: bool = False
    shape: str = ""
    without: Collection[str] = ()
    """Members that only say which item is meant, or stand elsewhere themselves."""


@dataclass(frozen=True)
class Api:
    """Paths are of property names, joined by "/", lists' items not counted."""

    service: str
    operation: str = ""
    shape: str = ""
    """As in `Elsewhere`."""
    renamed: Mapping[str, str] = field(default_factory=dict)
    """By path, the member (or path of members) that stands in its place."""
    documents: Collection[str] = ()
    """Paths of what the API takes as JSON's text."""
    elsewhere: Mapping[str, Elsewhere] = field(default_factory=dict)
    filled: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """Members, by their structure's path, that CloudFormation adds where the template has none."""
    own: Collection[str] = ()
    """Properties that tell CloudFormation something, or that an operation without values is for."""
    each: str = ""
    """The property, a list, that there is a request for each item of."""
    rest: str = ""
    """The member, a map of texts, that takes all other properties."""


_ROLE = {"RoleName": "RoleName"}
_METHOD = {"RestApiId": "restApiId", "ResourceId": "resourceId", "HttpMethod": "httpMethod"}
_SCALING = "application-autoscaling"
_BLOCK = "PublicAccessBlockConfiguration"
_TAGS = {"Tags": Elsewhere(shape="TagSpecification", member="Tags")}
_REPOSITORY = {"RepositoryName": "repositoryName"}

# The template reference's page of each type, beside botocore's model of its service.
APIS = {
    "AWS::ApiGateway::Account": Api("apigateway", shape="Account"),
    "AWS::ApiGateway::ApiKey": Api("apigateway", "CreateApiKey"),
    "AWS::ApiGateway::Authorizer": Api("apigateway", "CreateAuthorizer"),
    "AWS::ApiGateway::Deployment": Api("apigateway", "CreateDeployment"),
    "AWS::ApiGateway::GatewayResponse": Api("apigateway", "PutGatewayResponse"),
    "AWS::ApiGateway::Method": Api(
        "apigateway",
        "PutMethod",
        elsewhere={
            "MethodResponses": Elsewhere("PutMethodResponse", beside=_METHOD, each=True),
            "Integration": Elsewhere(
                "PutIntegration", beside=_METHOD, without=["IntegrationResponses"]
            ),
            "Integration/IntegrationResponses": Elsewhere(
                "PutIntegrationResponse", beside=_METHOD, each=True
            ),
        },
    ),
    "AWS::ApiGateway::Resource": Api("apigateway", "CreateResource"),
    "AWS::ApiGateway::RestApi": Api(
        "apigateway", "CreateRestApi", renamed={"ApiKeySourceType": "apiKeySource"}
    ),
    "AWS::ApiGateway::Stage": Api(
        "apigateway",
        "CreateStage",
        elsewhere={
            "AccessLogSetting": Elsewhere(shape="AccessLogSettings"),
            "MethodSettings": Elsewhere(
                shape="MethodSetting", each=True, without=["HttpMethod", "ResourcePath"]
            ),
        },
    ),
    "AWS::ApiGateway::UsagePlan": Api(
        "apigateway", "CreateUsagePlan", renamed={"UsagePlanName": "name"}
    ),
    "AWS::ApiGateway::UsagePlanKey": Api("apigateway", "CreateUsagePlanKey"),
    "AWS::ApplicationAutoScaling::ScalableTarget": Api(
        _SCALING,
        "RegisterScalableTarget",
        elsewhere={
            "ScheduledActions": Elsewhere(
                "PutScheduledAction",
                beside={
                    name: name for name in ("ServiceNamespace", "ResourceId", "ScalableDimension")
                },
                each=True,
            )
        },
    ),
    "AWS::ApplicationAutoScaling::ScalingPolicy": Api(_SCALING, "PutScalingPolicy"),
    "AWS::CloudWatch::Alarm": Api("cloudwatch", "PutMetricAlarm"),
    "AWS::CloudWatch::Dashboard": Api("cloudwatch", "PutDashboard"),
    "AWS::CodeBuild::Project": Api("codebuild", "CreateProject"),
    "AWS::DynamoDB::Table": Api(
        "dynamodb",
        "CreateTable",
        filled={"StreamSpecification": {"StreamEnabled": True}},
        elsewhere={
            "TimeToLiveSpecification": Elsewhere(
                "UpdateTimeToLive", "TimeToLiveSpecification", beside={"TableName": "TableName"}
            )
        },
    ),
    # Of one resource; the operation takes several.
    "AWS::EC2::FlowLog": Api(
        "ec2", "CreateFlowLogs", own=["ResourceId"], filled={"": {"ResourceIds": ["vpc-1"]}}
    ),
    "AWS::EC2::RouteTable": Api("ec2", "CreateRouteTable", elsewhere=_TAGS),
    "AWS::EC2::SecurityGroup": Api(
        "ec2",
        "CreateSecurityGroup",
        renamed={"GroupDescription": "Description"},
        elsewhere={
            "SecurityGroupEgress": Elsewhere(
                "AuthorizeSecurityGroupEgress",
                beside={"GroupName": "GroupId"},
                each=True,
                without=["Description"],
            )
        },
    ),
    "AWS::EC2::SecurityGroupIngress": Api(
        "ec2", "AuthorizeSecurityGroupIngress", own=["Description", "SourceSecurityGroupId"]
    ),
    "AWS::EC2::Subnet": Api("ec2", "CreateSubnet", own=["MapPublicIpOnLaunch"], elsewhere=_TAGS),
    "AWS::EC2::SubnetRouteTableAssociation": Api("ec2", "AssociateRouteTable"),
    "AWS::EC2::VPC": Api(
        "ec2", "CreateVpc", own=["EnableDnsHostnames", "EnableDnsSupport"], elsewhere=_TAGS
    ),
    "AWS::EC2::VPCEndpoint": Api(
        "ec2", "CreateVpcEndpoint", documents=["PolicyDocument"], elsewhere=_TAGS
    ),
    "AWS::Cognito::UserPool": Api(
        "cognito-idp",
        "CreateUserPool",
        own=["EnabledMfas"],
        filled={"": {"PoolName": "generated"}},
    ),
    "AWS::Cognito::UserPoolClient": Api(
        "cognito-idp", "CreateUserPoolClient", filled={"": {"ClientName": "generated"}}
    ),
    "AWS::Cognito::UserPoolDomain": Api("cognito-idp", "CreateUserPoolDomain"),
    "AWS::ECR::Repository": Api(
        "ecr",
        "CreateRepository",
        elsewhere={
            "LifecyclePolicy": Elsewhere("PutLifecyclePolicy", beside=_REPOSITORY),
        },
        own=["EmptyOnDelete"],
    ),
    "AWS::ECS::ExpressGatewayService": Api("ecs", "CreateExpressGatewayService"),
    "AWS::Events::Rule": Api(
        "events",
        "PutRule",
        documents=["EventPattern"],
        elsewhere={"Targets": Elsewhere("PutTargets", "Targets", beside={"Name": "Rule"})},
    ),
    "AWS::IAM::Policy": Api(
        "iam",
        "PutRolePolicy",
        each="Roles",
        renamed={"Roles": "RoleName"},
        documents=["PolicyDocument"],
    ),
    "AWS::IAM::Role": Api(
        "iam",
        "CreateRole",
        documents=["AssumeRolePolicyDocument"],
        elsewhere={
            "ManagedPolicyArns": Elsewhere(
                "AttachRolePolicy", "PolicyArn", beside=_ROLE, each=True
            ),
        },
    ),
    "AWS::KMS::Key": Api(
        "kms",
        "CreateKey",
        renamed={"KeyPolicy": "Policy"},
        documents=["KeyPolicy"],
        own=["EnableKeyRotation"],
    ),
    "AWS::Lambda::EventSourceMapping": Api("lambda", "CreateEventSourceMapping"),
    "AWS::Lambda::Function": Api(
        "lambda",
        "CreateFunction",
        elsewhere={
            "RecursiveLoop": Elsewhere(
                "PutFunctionRecursionConfig",
                "RecursiveLoop",
                beside={"FunctionName": "FunctionName"},
            )
        },
    ),
    "AWS::Lambda::LayerVersion": Api("lambda", "PublishLayerVersion"),
    "AWS::Lambda::Permission": Api("lambda", "AddPermission"),
    "AWS::Logs::LogGroup": Api(
        "logs",
        "CreateLogGroup",
        elsewhere={
            "RetentionInDays": Elsewhere(
                "PutRetentionPolicy", "retentionInDays", beside={"LogGroupName": "logGroupName"}
            )
        },
    ),
    "AWS::S3::Bucket": Api(
        "s3",
        "CreateBucket",
        renamed={
            "BucketName": "Bucket",
            "BucketEncryption/ServerSideEncryptionConfiguration": "Rules",
            "BucketEncryption/ServerSideEncryptionConfiguration/ServerSideEncryptionByDefault": (
                "ApplyServerSideEncryptionByDefault"
            ),
            "LifecycleConfiguration/Rules/ExpirationInDays": "Expiration/Days",
            "LifecycleConfiguration/Rules/Prefix": "Filter/Prefix",
        },
        # PutBucketLifecycleConfiguration wants one in every rule, the template reference doesn't.
        filled={"LifecycleConfiguration/Rules": {"Filter": {"Prefix": ""}}},
        elsewhere={
            name: Elsewhere(f"Put{operation}", member, beside={"BucketName": "Bucket"})
            for name, operation, member in (
                ("BucketEncryption", "BucketEncryption", "ServerSideEncryptionConfiguration"),
                (
                    "LifecycleConfiguration",
                    "BucketLifecycleConfiguration",
                    "LifecycleConfiguration",
                ),
                ("CorsConfiguration", "BucketCors", "CORSConfiguration"),
                ("OwnershipControls", "BucketOwnershipControls", "OwnershipControls"),
                (_BLOCK, "PublicAccessBlock", _BLOCK),
            )
        },
    ),
    "AWS::S3::BucketPolicy": Api(
        "s3",
        "PutBucketPolicy",
        renamed={"PolicyDocument": "Policy"},
        documents=["PolicyDocument"],
    ),
    "AWS::S3Vectors::Index": Api("s3vectors", "CreateIndex"),
    "AWS::S3Vectors::VectorBucket": Api("s3vectors", "CreateVectorBucket"),
    "AWS::SNS::Subscription": Api(
        "sns",
        "Subscribe",
        renamed={"RedrivePolicy": "Attributes/RedrivePolicy"},
        documents=["RedrivePolicy"],
    ),
    "AWS::SNS::Topic": Api("sns", "CreateTopic", renamed={"TopicName": "Name"}),
    "AWS::SNS::TopicPolicy": Api(
        "sns",
        "SetTopicAttributes",
        each="Topics",
        renamed={"Topics": "TopicArn", "PolicyDocument": "AttributeValue"},
        documents=["PolicyDocument"],
        filled={"": {"AttributeName": "Policy"}},
    ),
    "AWS::SQS::Queue": Api("sqs", "CreateQueue", rest="Attributes"),
    "AWS::SQS::QueuePolicy": Api(
        "sqs",
        "SetQueueAttributes",
        each="Queues",
        renamed={"Queues": "QueueUrl", "PolicyDocument": "Attributes/Policy"},
        documents=["PolicyDocument"],
    ),
    "AWS::SSM::Parameter": Api("ssm", "PutParameter"),
    "AWS::Budgets::Budget": Api(
        "budgets",
        "CreateBudget",
        filled={"": {"AccountId": "123456789012"}, "Budget": {"BudgetName": "generated"}},
    ),
    "AWS::Scheduler::Schedule": Api("scheduler", "CreateSchedule"),
    "AWS::SageMaker::Endpoint": Api(
        "sagemaker",
        "CreateEndpoint",
        elsewhere={
            "RetainAllVariantProperties": Elsewhere(
                "UpdateEndpoint",
                "RetainAllVariantProperties",
                beside={name: name for name in ("EndpointName", "EndpointConfigName")},
            )
        },
        filled={
            "DeploymentConfig/BlueGreenUpdatePolicy/TrafficRoutingConfiguration": {
                "WaitIntervalInSeconds": 0
            }
        },
    ),
    "AWS::SageMaker::EndpointConfig": Api("sagemaker", "CreateEndpointConfig"),
    "AWS::SageMaker::Model": Api("sagemaker", "CreateModel"),
    "AWS::SecretsManager::Secret": Api(
        "secretsmanager",
        "CreateSecret",
        elsewhere={"GenerateSecretString": Elsewhere("GetRandomPassword")},
        filled={"": {"Name": "generated"}},
    ),
    "AWS::WAFv2::WebACL": Api("wafv2", "CreateWebACL"),
    "AWS::WAFv2::WebACLAssociation": Api("wafv2", "AssociateWebACL"),
}
