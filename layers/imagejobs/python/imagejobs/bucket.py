"""S3, for every step: one private bucket, its prefixes, and the objects under them."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, BinaryIO, cast
from urllib.parse import quote, unquote_plus, urlsplit

import boto3
from botocore.config import Config

from imagejobs.settings import USER_AGENT, required

if TYPE_CHECKING:
    from mypy_boto3_s3.client import S3Client

UPLOAD_PREFIX = "uploads/"
DROP_PREFIX = "drop/"
IMAGE_PREFIX = "images/"
RESULT_PREFIX = "results/"
CORRECTION_PREFIX = "corrections/"
WEBHOOK_PREFIX = "webhooks/"
REPORT_PREFIX = "reports/"

# S3's smallest part is 5 MiB and an object has 10,000 parts at most: 8 MiB carries results up to 80 GB.
PART_BYTES = 8 * 1024 * 1024
RESULT_LINK_SECONDS = 3600
UPLOAD_FORM_SECONDS = 3600


@dataclass(frozen=True, slots=True)
class ObjectVersion:
    """One version of one object: what names a job.

    Attributes:
        key: The key, not URL-encoded.
        version: S3's version id.
    """

    key: str
    version: str

    @classmethod
    def from_event_record(cls, record: Mapping[str, Any]) -> "ObjectVersion":
        """From one record of an S3 event, whose key is form-encoded (spaces are `+`)."""
        described = record["s3"]["object"]
        return cls(unquote_plus(described["key"]), described.get("versionId", "null"))

    def as_event(self) -> dict[str, Any]:
        """An S3 event of this version with the fields that `from_event_record` reads."""
        described = {"key": quote(self.key), "versionId": self.version}
        return {"Records": [{"eventSource": "aws:s3", "s3": {"object": described}}]}


class Bucket:
    """The bucket of this stack.

    Args:
        client: A boto3 S3 client.
        name: The bucket's name.
    """

    def __init__(self, client: "S3Client", name: str) -> None:
        self._client = client
        self.name = name

    @classmethod
    def from_environment(cls, *, max_connections: int = 10) -> "Bucket":
        """The bucket that the template's `BUCKET_NAME` names, for `max_connections` threads at once."""
        config = Config(
            max_pool_connections=max_connections,
            retries={"mode": "standard", "max_attempts": 5},
            signature_version="s3v4",  # presigned links too: most regions take nothing older
            s3={"addressing_style": "virtual"},  # and links that name the region's own host, not one that redirects
            user_agent=USER_AGENT,  # boto3's own is put together anew for each request, a tenth of what a PUT costs
        )
        return cls(boto3.client("s3", config=config), required("BUCKET_NAME"))

    def put(self, key: str, body: bytes, content_type: str, cache_control: str | None = None) -> str:
        """Store an object; the version it became."""
        caching = {"CacheControl": cache_control} if cache_control else {}
        answer = self._client.put_object(
            Bucket=self.name, Key=key, Body=body, ContentType=content_type, **cast("Any", caching)
        )
        return answer.get("VersionId", "null")

    def put_parts(self, key: str, chunks: Iterable[bytes], content_type: str) -> str:
        """Store an object of any length with flat memory; the version it became.

        An upload that fails midway is aborted, so that no part is left and paid for.
        """
        upload = self._client.create_multipart_upload(Bucket=self.name, Key=key, ContentType=content_type)
        target: Any = {"Bucket": self.name, "Key": key, "UploadId": upload["UploadId"]}
        try:
            parts: list[Any] = [
                {
                    "PartNumber": number,
                    "ETag": self._client.upload_part(**target, PartNumber=number, Body=part)["ETag"],
                }
                for number, part in enumerate(_parts(chunks), start=1)
            ]
            answer = self._client.complete_multipart_upload(**target, MultipartUpload={"Parts": parts})
        except BaseException:
            self._client.abort_multipart_upload(**target)
            raise
        return answer.get("VersionId", "null")

    def delete(self, key: str) -> None:
        """Delete an object, if it is there; its versions stay."""
        self._client.delete_object(Bucket=self.name, Key=key)

    def delete_version(self, source: ObjectVersion) -> None:
        """Delete one version of an object, and no other."""
        self._client.delete_object(Bucket=self.name, Key=source.key, VersionId=source.version)

    def list_versions(self, prefix: str) -> Iterator[list[ObjectVersion]]:
        """All versions of all objects under a prefix, a page of at most a thousand at a time."""
        pages = self._client.get_paginator("list_object_versions").paginate(Bucket=self.name, Prefix=prefix)
        for page in pages:
            yield [ObjectVersion(found["Key"], found["VersionId"]) for found in page.get("Versions", [])]

    def open(self, source: ObjectVersion) -> BinaryIO:
        """The object's bytes as a stream."""
        answer = self._client.get_object(Bucket=self.name, Key=source.key, VersionId=source.version)
        return cast("BinaryIO", answer["Body"])

    def newest(self, key: str) -> bytes:
        """The bytes of the newest version of an object; of an image's key, all versions have the same."""
        return self._client.get_object(Bucket=self.name, Key=key)["Body"].read()

    def metadata(self, source: ObjectVersion) -> dict[str, str]:
        """The user metadata (`x-amz-meta-…`) of the object, names in lower case."""
        answer = self._client.head_object(Bucket=self.name, Key=source.key, VersionId=source.version)
        return {name.lower(): value for name, value in answer["Metadata"].items()}

    def link(self, source: ObjectVersion, file_name: str, disposition: str = "attachment") -> str:
        """A presigned URL that gets the object for an hour, without credentials.

        Args:
            source: The object.
            file_name: What it is called where it is saved.
            disposition: "attachment" to have browsers save it, "inline" to have them show it.
        """
        return self._client.generate_presigned_url(
            "get_object",
            Params={
                "Bucket": self.name,
                "Key": source.key,
                "VersionId": source.version,
                "ResponseContentDisposition": f"{disposition}; filename*=UTF-8''{quote(file_name, safe='')}",
            },
            ExpiresIn=RESULT_LINK_SECONDS,
        )

    def upload_form(self, key: str, max_bytes: int) -> tuple[str, dict[str, str]]:
        """A presigned POST that stores an object of 1 to `max_bytes` bytes under the key, without credentials.

        Returns:
            Where the form goes, and the fields that come before its `file`; both are good for `UPLOAD_FORM_SECONDS`.
        """
        form = self._client.generate_presigned_post(
            Bucket=self.name,
            Key=key,
            Conditions=[["content-length-range", 1, max_bytes]],
            ExpiresIn=UPLOAD_FORM_SECONDS,
        )
        return form["url"], form["fields"]

    def form_origin(self) -> str:
        """Scheme and host that these forms go to."""
        scheme, host, *_ = urlsplit(self.upload_form(UPLOAD_PREFIX, 1)[0])
        return f"{scheme}://{host}"


def _parts(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """`chunks` joined into parts of `PART_BYTES`; only the last may be smaller."""
    pending = bytearray()
    for chunk in chunks:
        pending += chunk
        if len(pending) >= PART_BYTES:
            yield bytes(pending)
            pending.clear()
    if pending:
        yield bytes(pending)
