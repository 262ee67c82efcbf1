"""What the description says beside what the code says of itself."""

from typing import Any

INFO = {
    "title": "Image Processing API",
    "version": "1.0",
    "license": {"name": "MIT", "identifier": "MIT"},
    "summary": "A CSV of products with image URLs comes back with every image compressed.",
    "description": """\
Takes a CSV of products with image URLs, compresses every image, and hands back the finished CSV, public image URLs and
a signed webhook.

**Three calls do it**: upload the CSV, ask for the job's status until it has ended (or wait for the webhook), download
the finished CSV. A broken image fails alone, with a code and a sentence; a CSV that cannot be read is refused as a
whole, with the line in which it goes wrong.

**Calls take a token**, in the header `Authorization: Bearer <token>`. What is sent too often, or comes to more images
than are left of the token's day (UTC), is answered 429 with `Retry-After`.

**Errors** are `{"code", "message"}`: a stable word for programs, and a sentence that says what is wrong and what to do.

**All calls may be repeated**; an upload, under an `Idempotency-Key`.
""",
}

SERVERS: list[dict[str, Any]] = [
    {
        "url": "https://{api_id}.execute-api.{region}.amazonaws.com/{stage}",
        "variables": {
            "api_id": {"default": "abcdef1234"},
            "region": {"default": "us-east-1"},
            "stage": {"default": "dev"},
        },
    }
]

PARTS = {
    "Upload": "Begin a job.",
    "Follow a job": "How far it is, and what came of it.",
    "Change a job": "What may be asked of a job that is there already.",
    "The API itself": "Answered to anybody, without a token.",
}
"""The tags of the handlers' routes, in the order of the description."""

TOKEN = "A token of the operator's: `Authorization: Bearer <token>`."  # noqa: S105 a sentence
UNAUTHORIZED = "There is no token, or one that is not known."
NO_TOKEN = {"code": "unauthorized", "message": "Send a valid token as Authorization: Bearer <token>."}
INTERNAL_ERROR = "Our fault, and logged; try again in a moment."

WEBHOOK = """\
Sent to the `webhook_url` of the upload, signed as [Standard Webhooks](https://www.standardwebhooks.com/) says: verify
the body with your `whsec_…` secret and one of its libraries. Only a 2xx accepts it; 410 stops it; anything else is sent
again, ten attempts over 75 hours. Every attempt carries the same `webhook-id`; each generation of a job has its own.
"""
WEBHOOK_HEADERS = {
    "webhook-id": {
        "description": "The event's name, the same at every attempt: drop what you have seen.",
        "example": "evt_3f0c9e5e-6f0a-4d7e-9d57-4b1e8c2a9d10-1",
    },
    "webhook-timestamp": {
        "description": "When this attempt was made, in Unix seconds: refuse what is over five minutes off.",
        "example": "1772442910",
    },
    "webhook-signature": {
        "description": (
            "`v1,` and the base64 of an HMAC-SHA256 of `<webhook-id>.<webhook-timestamp>.<body>`, with the secret's "
            "base64 part decoded as its key. While a secret is being replaced there are two, with a space between "
            "them: one that is right is enough."
        ),
        "example": "v1,48roMzMozBa0y9GY6W+3OUs/G/ve9mXwQEyceR2g0tA=",
    },
}
WEBHOOK_RESPONSES = {
    "2XX": {"description": "Accepted."},
    "410": {"description": "Not sent again."},
    "default": {"description": "Sent again."},
}
