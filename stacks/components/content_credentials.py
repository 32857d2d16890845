"""Signs the pictures the API gives out: C2PA manifests, by a function of its own and a KMS key."""

from hashlib import file_digest

from aws_cdk import ArnFormat, CustomResource, Duration, Stack
from aws_cdk import aws_iam as iam
from aws_cdk import aws_s3 as s3
from constructs import Construct

from sd_contract.signing import FOLDER
from stacks.components.artifacts import Storage
from stacks.components.grants import grant, grant_objects
from stacks.components.python_function import PythonFunction
from stacks.components.python_layer import PythonLayer
from stacks.settings import ApiSettings

PASSED = "what is larger than Lambda takes is named by its request; nothing else is there"


def may_sign(role: iam.Role, pictures: s3.Bucket, function: str) -> None:
    """Asking the function of that name, and passing it what is larger than Lambda takes."""
    arn = Stack.of(role).format_arn(
        service="lambda",
        resource="function",
        resource_name=function,
        arn_format=ArnFormat.COLON_RESOURCE_NAME,
    )
    grant(role, ["lambda:InvokeFunction"], arn)
    grant_objects(role, pictures, FOLDER, ["s3:GetObject", "s3:PutObject"], why=PASSED)


class ContentCredentials(Construct):
    """The deploy fails where key and certificate chain don't sign. A layer of its own, since its
    package is a binary for Lambda's machines; a function of its own, so that whoever doesn't sign
    has neither package nor cold start.
    """

    def __init__(
        self,
        scope: Construct,
        id: str,
        *,
        name: str,
        settings: ApiSettings,
        pictures: s3.Bucket,
        storage: Storage,
    ) -> None:
        super().__init__(scope, id)
        signing = settings.c2pa
        packages = PythonLayer(
            self, "C2pa", name="c2pa", requirements="requirements-c2pa.txt", storage=storage
        )
        signer = PythonFunction(
            self,
            "Signer",
            package="content_credentials",
            name=name,
            uses=["cfn_requests", "sd_contract"],
            files={"content_credentials/chain.pem": signing.chain_path},
            layers=[packages.layer],
            timeout=Duration.seconds(20),
            memory_mb=1024,
            log_days=settings.log_days,
            tracing=settings.tracing,
            no_dead_letters="Who has a picture signed waits for the answer; CloudFormation, which "
            "doesn't, gives up with the deploy.",
            environment={
                "SD_SIGNING_KEY": signing.signing_key or "",
                "SD_PICTURE_BUCKET": pictures.bucket_name,
                **({"SD_TIMESTAMP_URL": signing.timestamp_url} if signing.timestamp_url else {}),
            },
        )
        grant(signer.role, ["kms:Sign"], signing.signing_key or "")
        grant_objects(
            signer.role,
            pictures,
            FOLDER,
            ["s3:GetObject", "s3:PutObject"],
            why=PASSED,
        )
        self._function = signer.function
        with signing.chain_path.open("rb") as chain:
            digest = file_digest(chain, "sha256").hexdigest()
        self._check = CustomResource(
            self,
            "Check",
            resource_type="Custom::ContentCredentialsCheck",
            service_token=signer.function.function_arn,
            service_timeout=Duration.minutes(5),
            # Tried anew where one of them changes.
            properties={
                "SigningKey": signing.signing_key,
                "CertificateChain": digest,
                "TimestampUrl": signing.timestamp_url or "",
                "Layer": packages.key,
            },
        )
        self._check.node.add_dependency(signer.role)

    def sign_for(self, front_door: PythonFunction) -> None:
        """From this deploy on, once it is seen to work."""
        front_door.function.add_environment("SD_SIGNING_FUNCTION", self._function.function_name)
        grant(front_door.role, ["lambda:InvokeFunction"], self._function.function_arn)
        front_door.function.node.add_dependency(self._check)
