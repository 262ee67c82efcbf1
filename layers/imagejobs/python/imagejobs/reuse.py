"""Step `compress`: by what an image is known again that was compressed before for the same caller.

Both keys are the first 128 bits of SHA-256 (FIPS 180-4): a caller would need some 2^64 pictures for two that share one.
"""

import hashlib
import json
from collections.abc import Mapping
from uuid import UUID

from imagejobs.options import CODING_OPTIONS

# Raised when the same options come to mean other bytes, and those of before are not to be handed out any more.
CODING_VERSION = 1


def is_wanted(fields: Mapping[str, str]) -> bool:
    """Whether a job with these options reuses images; `fields` as `CompressionOptions.to_fields` gives them."""
    return fields.get("reuse", "true") == "true"


def url_key(owner: str, fields: Mapping[str, str], url: str) -> UUID:
    """What all images of a caller have in common that were made of one URL in one way.

    Args:
        owner: The caller's name.
        fields: The job's options, as `CompressionOptions.to_fields` gives them.
        url: As the sheet has it.
    """
    return _key(owner, fields, "url", url)


def content_key(owner: str, fields: Mapping[str, str], body: bytes) -> UUID:
    """What all images of a caller have in common that were made of the same bytes in one way.

    Args:
        owner: The caller's name.
        fields: The job's options, as `CompressionOptions.to_fields` gives them.
        body: As the origin sent it.
    """
    return _key(owner, fields, "sha256", hashlib.sha256(body).hexdigest())


def _key(owner: str, fields: Mapping[str, str], kind: str, name: str) -> UUID:
    coding = {option: value for option, value in fields.items() if option in CODING_OPTIONS}
    text = json.dumps([CODING_VERSION, owner, coding, kind, name], sort_keys=True)
    return UUID(bytes=hashlib.sha256(text.encode()).digest()[:16])
