"""CPU time of decoding and coding: the encoders in turn over each picture, so that other load falls on all alike."""

import time
from collections.abc import Callable, Mapping, Sequence

from PIL import Image

from benchmarks.codec_pictures import Upload

Encode = Callable[[Image.Image], bytes]


def cpu_seconds(encoders: Mapping[str, Encode], uploads: Sequence[Upload], rounds: int) -> dict[str, float]:
    """CPU seconds that each encoder takes for all pictures once, decoding included: of each the quickest round."""
    took = dict.fromkeys(encoders, 0.0)
    for upload in uploads:
        quickest = dict.fromkeys(encoders, float("inf"))
        for _ in range(rounds):
            for name, encode in encoders.items():
                began = time.process_time()
                encode(upload.decoded())
                quickest[name] = min(quickest[name], time.process_time() - began)
        took = {name: took[name] + quickest[name] for name in encoders}
    return took
