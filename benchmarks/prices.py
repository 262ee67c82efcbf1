"""List prices of AWS in us-east-1, in USD, without free tiers, reservations and volume discounts: their one place.

`seen` says where a figure was read. AWS's own pages build most of their tables in the browser, so that stored copies of
them often have none; then it is from a page that repeats it, named here, or "from memory": check those first.
"""

from collections.abc import Mapping
from dataclasses import dataclass

REGION = "us-east-1"
LOOKED_UP = "2026-11-23"
FROM_MEMORY = "from memory, not confirmed"


@dataclass(frozen=True, slots=True)
class Price:
    """One list price.

    Attributes:
        usd: US dollars a unit.
        unit: What it buys.
        page: AWS's own page.
        seen: Where the figure was read on `LOOKED_UP`.
    """

    usd: float
    unit: str
    page: str
    seen: str

    @property
    def is_confirmed(self) -> bool:
        """Whether the figure was read anywhere."""
        return self.seen != FROM_MEMORY


_LAMBDA = "https://aws.amazon.com/lambda/pricing/"
_S3 = "https://aws.amazon.com/s3/pricing/"
_SQS = "https://aws.amazon.com/sqs/pricing/"
_RDS = "https://aws.amazon.com/rds/postgresql/pricing/"
_VPC = "https://aws.amazon.com/vpc/pricing/"
_STEP_FUNCTIONS = "https://aws.amazon.com/step-functions/pricing/"
_CLOUDFRONT = "https://aws.amazon.com/cloudfront/pricing/"
_PRIVATE_LINK = "https://aws.amazon.com/privatelink/pricing/"
_RDS_PROXY = "https://aws.amazon.com/rds/proxy/pricing/"
_WAF = "https://aws.amazon.com/waf/pricing/"
_KMS = "https://aws.amazon.com/kms/pricing/"
_SECRETS = "https://aws.amazon.com/secrets-manager/pricing/"
_CLOUDWATCH = "https://aws.amazon.com/cloudwatch/pricing/"

_SEEN_LAMBDA = "https://cloudchipr.com/blog/aws-lambda-pricing (2024)"
_SEEN_LAMBDA_REQUEST = "https://git.mcrn.ar/mariano/lambda_local_runner docs/lambdas-md/lambda-13-cost.md"
_SEEN_S3 = "https://devnotes.tech/understanding-aws-s3-pricing-a-complete-cost-breakdown-with-examples"
_SEEN_SQS = "https://cloudburn.io/blog/amazon-sqs-pricing (2026-03-14)"
_SEEN_NAT = "https://cloudburn.io/blog/aws-nat-gateway-pricing (2026-02-24)"
_SEEN_RDS_STORAGE = "https://www.usage.ai/blogs/aws/reserved-instances/rds/pricing-calculator/ (2026-06)"
_SEEN_RDS_T4G = "https://infratally.com/articles/aws-rds-pricing-explained-2026.html"
_SEEN_ENDPOINT = "https://c3x.dev/resources/aws/aws_vpc_endpoint"
_SEEN_WAF = "https://c3x.dev/blog/aws-waf-cost-explained/"
_SEEN_KMS = "https://cloudburn.io/blog/aws-kms-pricing (2026-03-14)"
_SEEN_SECRETS = "https://hivebook.wiki/wiki/aws-secrets-manager-rotated-secrets-dynamic-db-credentials-kms"
_SEEN_ALARM = "https://c3x.dev/resources/aws/aws_cloudwatch_metric_alarm"

PRICES: Mapping[str, Price] = {
    "lambda_x86": Price(0.0000166667, "GB-second", _LAMBDA, _SEEN_LAMBDA),
    "lambda_arm64": Price(0.0000133334, "GB-second", _LAMBDA, _SEEN_LAMBDA),
    "lambda_request": Price(0.20e-6, "request", _LAMBDA, _SEEN_LAMBDA_REQUEST),
    "s3_put": Price(0.005e-3, "PUT, POST, LIST", _S3, _SEEN_S3),
    "s3_get": Price(0.0004e-3, "GET, HEAD", _S3, _SEEN_S3),
    "s3_storage": Price(0.023, "GB-month, first 50 TB", _S3, _SEEN_S3),
    "sqs_request": Price(0.40e-6, "request of at most 64 KB", _SQS, _SEEN_SQS),
    "sqs_fair_queue": Price(0.10e-6, "request beside that, of a fair queue", _SQS, _SEEN_SQS),
    "step_functions_transition": Price(0.025e-3, "state transition", _STEP_FUNCTIONS, _STEP_FUNCTIONS),
    "rds_instance": Price(0.168, "hour of db.m7g.large, one zone", _RDS, FROM_MEMORY),
    "rds_storage": Price(0.115, "GB-month of gp3, one zone", _RDS, _SEEN_RDS_STORAGE),
    "rds_t4g_medium": Price(0.065, "hour of db.t4g.medium, one zone", _RDS, _SEEN_RDS_T4G),
    "rds_proxy": Price(0.015, "hour of a vCPU of its database, two at least", _RDS_PROXY, FROM_MEMORY),
    "nat_gateway": Price(0.045, "hour", _VPC, _SEEN_NAT),
    "nat_processed": Price(0.045, "GB, both ways", _VPC, _SEEN_NAT),
    "public_ipv4": Price(0.005, "hour of an address", _VPC, _SEEN_NAT),
    "interface_endpoint": Price(0.01, "hour of an endpoint in a zone", _PRIVATE_LINK, _SEEN_ENDPOINT),
    "web_acl": Price(5.0, "month of a web ACL", _WAF, _SEEN_WAF),
    "web_acl_rule": Price(1.0, "month of a rule or group of rules", _WAF, _SEEN_WAF),
    "kms_key": Price(1.0, "month of a key", _KMS, _SEEN_KMS),
    "secret": Price(0.40, "month of a secret", _SECRETS, _SEEN_SECRETS),
    "alarm": Price(0.10, "month of an alarm", _CLOUDWATCH, _SEEN_ALARM),
    "dashboard": Price(3.0, "month of a dashboard beyond an account's third", _CLOUDWATCH, FROM_MEMORY),
    "cloudfront_out": Price(0.085, "GB to North America and Europe, first 10 TB", _CLOUDFRONT, FROM_MEMORY),
    "cloudfront_request": Price(1.0e-6, "HTTPS request", _CLOUDFRONT, FROM_MEMORY),
}
"""By the name that `make cost SET='name=usd'` overrides."""
