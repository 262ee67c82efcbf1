"""Answers to CloudFormation, for a function that stands in a template as a custom resource.

https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/crpg-ref-responses.html has the fields and the limit.
"""

import json
from collections.abc import Mapping

import urllib3

PHYSICAL_ID = "schema"
"""There is one; an answer with another id would have CloudFormation take the old one for replaced, and delete it."""
MAX_REASON_CHARACTERS = 500
"""An answer may have 4,096 bytes, and a character takes up to six of them, as `\\u0007`."""


class AnswerRefused(Exception):
    """S3, where CloudFormation waits for the answer, did not take it."""


def answer(event: Mapping[str, str], error: Exception | None = None) -> None:
    """Tell CloudFormation how a request ended; it waits for that, and fails the deployment for an error.

    The template gets the request's id as the attribute `RequestId`, another one each time that something has changed.

    Args:
        event: The request.
        error: Why it failed; None when it did not.

    Raises:
        AnswerRefused: S3 did not take the answer.
        urllib3.exceptions.HTTPError: S3 was not reached.
    """
    body = {
        "Status": "FAILED" if error else "SUCCESS",
        "Reason": f"{type(error).__name__}: {error}"[:MAX_REASON_CHARACTERS] if error else "",
        "PhysicalResourceId": PHYSICAL_ID,
        "Data": {"RequestId": event["RequestId"]},
        **{name: event[name] for name in ("StackId", "RequestId", "LogicalResourceId")},
    }
    content = json.dumps(body, ensure_ascii=False).encode("utf-8", "replace")
    # The URL is signed for a request without a content type.
    headers = {"Content-Type": ""}
    response = urllib3.request("PUT", event["ResponseURL"], body=content, headers=headers, retries=5, timeout=10)
    if response.status != 200:
        raise AnswerRefused(f"CloudFormation's bucket answered {response.status}.")
