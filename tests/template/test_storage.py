"""The bucket is private, versioned and encrypted; its events reach one queue; images have one public way out."""

import re

import pytest

from imagejobs.bucket import (
    CORRECTION_PREFIX,
    DROP_PREFIX,
    IMAGE_PREFIX,
    REPORT_PREFIX,
    RESULT_PREFIX,
    UPLOAD_PREFIX,
    WEBHOOK_PREFIX,
)
from tests.template.conftest import OPTIONAL

CLOUDFRONT_TYPES = {
    "AWS::CloudFront::Distribution",
    "AWS::CloudFront::OriginAccessControl",
    "AWS::CloudFront::ResponseHeadersPolicy",
}


def bucket(stack):
    return stack.the("AWS::S3::Bucket")


def statements(stack):
    """The statements of the bucket's policy, by their Sid."""
    policy = stack.the("AWS::S3::BucketPolicy")
    assert policy["Bucket"] == "${Bucket}"
    return {statement["Sid"]: statement for statement in policy["PolicyDocument"]["Statement"]}


def notifications(stack):
    return bucket(stack)["NotificationConfiguration"]["QueueConfigurations"]


def prefixes(stack):
    rules = [n["Filter"]["S3Key"]["Rules"] for n in notifications(stack)]
    assert all([rule["Name"] for rule in few] == ["prefix"] for few in rules)
    return [rule["Value"] for few in rules for rule in few]


def test_public_access_is_blocked_in_every_way(expanded):
    assert bucket(expanded)["PublicAccessBlockConfiguration"] == {
        "BlockPublicAcls": True,
        "BlockPublicPolicy": True,
        "IgnorePublicAcls": True,
        "RestrictPublicBuckets": True,
    }


def test_access_lists_are_off(expanded):
    assert bucket(expanded)["OwnershipControls"] == {"Rules": [{"ObjectOwnership": "BucketOwnerEnforced"}]}


def test_versions_are_kept(expanded):
    """A version of a CSV is a job."""
    assert bucket(expanded)["VersioningConfiguration"] == {"Status": "Enabled"}


def test_objects_are_encrypted(expanded):
    (rule,) = bucket(expanded)["BucketEncryption"]["ServerSideEncryptionConfiguration"]

    assert rule["ServerSideEncryptionByDefault"]["SSEAlgorithm"] in {"AES256", "aws:kms"}


def test_data_outlives_the_stack(expanded):
    resource = expanded.resources["Bucket"]

    assert (resource["DeletionPolicy"], resource["UpdateReplacePolicy"]) == ("RetainExceptOnCreate", "Retain")


def test_parts_of_broken_uploads_are_removed(expanded):
    rules = bucket(expanded)["LifecycleConfiguration"]["Rules"]

    assert [r for r in rules if r["Status"] == "Enabled" and "AbortIncompleteMultipartUpload" in r]


def test_events_of_webhooks_are_forgotten_at_once_sheets_and_reports_after_a_year_and_images_never(expanded):
    """Each attempt stores its event anew; they name receivers by URLs that may hold tokens."""
    rules = bucket(expanded)["LifecycleConfiguration"]["Rules"]
    days = {rule["Prefix"]: rule["ExpirationInDays"] for rule in rules if "ExpirationInDays" in rule}
    version_days = {r["Prefix"]: r["NoncurrentVersionExpiration"] for r in rules if "NoncurrentVersionExpiration" in r}

    assert {rule["Status"] for rule in rules} == {"Enabled"}
    kept = dict.fromkeys([UPLOAD_PREFIX, DROP_PREFIX, CORRECTION_PREFIX, RESULT_PREFIX, REPORT_PREFIX], 365)
    assert days == kept | {WEBHOOK_PREFIX: 1}
    assert version_days == {prefix: {"NoncurrentDays": days[prefix]} for prefix in days}


def test_bucket_name_is_one_that_s3_takes(expanded):
    """Lower case, 63 characters at most: here with the longest stage and the longest name of a region."""
    name = bucket(expanded)["BucketName"]
    longest = name.replace("-dev-", f"-{'s' * 20}-").replace("eu-west-1", "ap-southeast-1")

    assert longest != name
    assert re.fullmatch(r"[a-z0-9][a-z0-9-]{1,61}[a-z0-9]", longest)


def test_uploads_and_drops_ring_the_upload_queue(expanded):
    assert sorted(prefixes(expanded)) == sorted([UPLOAD_PREFIX, DROP_PREFIX])
    assert {(n["Event"], n["Queue"]) for n in notifications(expanded)} == {("s3:ObjectCreated:*", "${UploadQueue.Arn}")}


def test_what_the_pipeline_writes_rings_nothing(expanded):
    """A result under a prefix that rings would be a job again, without an end."""
    written = (IMAGE_PREFIX, CORRECTION_PREFIX, RESULT_PREFIX, WEBHOOK_PREFIX)

    assert not [p for p in prefixes(expanded) if p.startswith(written) or any(w.startswith(p) for w in written)]


def test_bucket_waits_for_the_policy_that_lets_it_send(expanded):
    """S3 tries the notification's queue when the bucket is made, and the deployment fails without the policy."""
    assert expanded.resources["Bucket"]["DependsOn"] in ("UploadQueuePolicy", ["UploadQueuePolicy"])


def test_unencrypted_connections_are_refused(expanded):
    assert statements(expanded)["TlsOnly"] == {
        "Sid": "TlsOnly",
        "Effect": "Deny",
        "Principal": "*",
        "Action": "s3:*",
        "Resource": ["${Bucket.Arn}", "${Bucket.Arn}/*"],
        "Condition": {"Bool": {"aws:SecureTransport": "false"}},
    }


def test_without_options_the_distribution_alone_reads_images(expanded_with_defaults):
    found = statements(expanded_with_defaults)

    assert found.keys() == {"TlsOnly", "DistributionReadsImages"}
    assert found["DistributionReadsImages"] == {
        "Sid": "DistributionReadsImages",
        "Effect": "Allow",
        "Principal": {"Service": "cloudfront.amazonaws.com"},
        "Action": "s3:GetObject",
        "Resource": f"${{Bucket.Arn}}/{IMAGE_PREFIX}*",
        "Condition": {
            "StringEquals": {
                "AWS:SourceArn": "arn:aws:cloudfront::123456789012:distribution/${Distribution}",
            }
        },
    }


def test_with_options_the_drop_writer_alone_may_put_and_only_into_its_folder(expanded_with_options):
    found = statements(expanded_with_options)

    assert found.keys() == {"TlsOnly", "DropWriter"}
    assert found["DropWriter"] == {
        "Sid": "DropWriter",
        "Effect": "Allow",
        "Principal": {"AWS": OPTIONAL["DropWriterArn"]},
        "Action": "s3:PutObject",
        "Resource": f"${{Bucket.Arn}}/{DROP_PREFIX}*",
    }


def test_distribution_is_made_without_an_image_base_url_only(expanded_with_defaults, expanded_with_options):
    def cloudfront(stack):
        kinds = {resource["Type"] for resource in stack.resources.values()}
        return {kind for kind in kinds if kind.startswith("AWS::CloudFront::")}

    assert cloudfront(expanded_with_defaults) == CLOUDFRONT_TYPES
    assert cloudfront(expanded_with_options) == set()


def test_distribution_serves_the_private_bucket_over_tls(expanded_with_defaults):
    settings = expanded_with_defaults.the("AWS::CloudFront::Distribution")["DistributionConfig"]
    (origin,) = settings["Origins"]
    behavior = settings["DefaultCacheBehavior"]

    assert settings["Enabled"] is True
    assert origin["DomainName"] == "${Bucket.RegionalDomainName}"
    assert origin["OriginAccessControlId"] == "${OriginAccess}"
    assert behavior["TargetOriginId"] == origin["Id"]
    assert behavior["ViewerProtocolPolicy"] in {"redirect-to-https", "https-only"}
    assert behavior["ResponseHeadersPolicyId"] == "${ImageHeaders}"


def test_distribution_signs_what_it_asks_the_bucket(expanded_with_defaults):
    access = expanded_with_defaults.the("AWS::CloudFront::OriginAccessControl")["OriginAccessControlConfig"]

    assert access["OriginAccessControlOriginType"] == "s3"
    assert (access["SigningBehavior"], access["SigningProtocol"]) == ("always", "sigv4")


def test_images_cannot_run_anything_in_a_browser(expanded_with_defaults):
    policy = expanded_with_defaults.the("AWS::CloudFront::ResponseHeadersPolicy")
    headers = policy["ResponseHeadersPolicyConfig"]["SecurityHeadersConfig"]

    assert headers["ContentTypeOptions"] == {"Override": True}
    assert headers["ContentSecurityPolicy"]["ContentSecurityPolicy"].startswith("default-src 'none'")
    assert headers["StrictTransportSecurity"]["AccessControlMaxAgeSec"] >= 31_536_000


@pytest.mark.parametrize("name", ["BucketName", "ImageBaseUrl"])
def test_outputs_say_where_things_are(expanded, name):
    assert expanded.outputs[name]
