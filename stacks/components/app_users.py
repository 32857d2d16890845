"""Who may use the generator app: a Cognito user pool, whose users its owner makes."""

from aws_cdk import Aws, Duration, RemovalPolicy
from aws_cdk import aws_cognito as cognito
from aws_cdk import aws_iam as iam
from constructs import Construct

from stacks.acknowledge import acknowledge
from stacks.components.grants import grant
from stacks.settings import Names

CALLBACK = "oauth2callback"
"""Streamlit's own path."""
# How long somebody stays signed in: the app asks again when the token has expired.
SIGNED_IN = Duration.hours(8)


class AppUsers(Construct):
    """`pool` has no client until `let_in`, which takes the app's address.

    A service gets its address when it is made, and has to be told of its client: so the client
    comes last, and the app finds it, its secret and its own address in the pool.
    """

    def __init__(self, scope: Construct, id: str, *, names: Names) -> None:
        super().__init__(scope, id)
        self.pool = cognito.UserPool(
            self,
            "Pool",
            # Nobody signs up by themselves.
            self_sign_up_enabled=False,
            sign_in_aliases=cognito.SignInAliases(email=True),
            password_policy=cognito.PasswordPolicy(
                min_length=12,
                require_lowercase=True,
                require_uppercase=True,
                require_digits=True,
                require_symbols=True,
                temp_password_validity=Duration.days(3),
            ),
            mfa=cognito.Mfa.REQUIRED,
            mfa_second_factor=cognito.MfaSecondFactor(otp=True, sms=False),
            account_recovery=cognito.AccountRecovery.EMAIL_ONLY,
            feature_plan=cognito.FeaturePlan.ESSENTIALS,
            # Users can be made again; a pool that outlives its stack would let nobody in anywhere.
            removal_policy=RemovalPolicy.DESTROY,
        )
        acknowledge(
            self.pool,
            "Threat protection is of the Plus plan, at a price for each user that signs in; each "
            "has a second factor here, and the owner has made each.",
            "AwsSolutions-COG3",
            "AwsSolutions-COG8",
        )
        # Domains are one name space a region, of all accounts.
        self.pool.add_domain(
            "Domain",
            cognito_domain=cognito.CognitoDomainOptions(
                domain_prefix=f"{names.prefix}-app-{Aws.ACCOUNT_ID}"
            ),
        )

    def let_in(self, url: str) -> None:
        """The app that answers at `url`."""
        self.pool.add_client(
            "Client",
            generate_secret=True,
            o_auth=cognito.OAuthSettings(
                flows=cognito.OAuthFlows(authorization_code_grant=True),
                scopes=[
                    cognito.OAuthScope.OPENID,
                    cognito.OAuthScope.EMAIL,
                    cognito.OAuthScope.PROFILE,
                ],
                callback_urls=[f"{url}/{CALLBACK}"],
            ),
            supported_identity_providers=[cognito.UserPoolClientIdentityProvider.COGNITO],
            prevent_user_existence_errors=True,
            id_token_validity=SIGNED_IN,
            access_token_validity=SIGNED_IN,
        )

    def look_up_client(self, role: iam.Role) -> None:
        grant(
            role,
            ["cognito-idp:ListUserPoolClients", "cognito-idp:DescribeUserPoolClient"],
            self.pool.user_pool_arn,
        )
