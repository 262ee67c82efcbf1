"""Settings: environment variables that the template sets, each read by name when it is first needed."""

import os

from imagejobs.limits import IMAGES_OUT_PER_WORKER, MEGABYTES_PER_VCPU

USER_AGENT = "ImageProcessingAPI/1.0"
"""What the service calls itself to other servers."""


class SettingMissing(Exception):
    """The function's environment lacks a variable that the template should set."""


def required(name: str) -> str:
    """The environment variable `name`.

    Raises:
        SettingMissing: It is not set.
    """
    try:
        return os.environ[name]
    except KeyError:
        raise SettingMissing(f"The environment variable {name} is not set; the template sets it.") from None


def max_images_out() -> int:
    """How many images of one job may be sent and not done at a time."""
    return IMAGES_OUT_PER_WORKER * int(required("COMPRESS_CONCURRENCY"))


def codec_processes() -> int:
    """How many pictures may be coded at a time: one for each vCPU that the function's memory comes with."""
    return max(1, int(required("AWS_LAMBDA_FUNCTION_MEMORY_SIZE")) // MEGABYTES_PER_VCPU)
