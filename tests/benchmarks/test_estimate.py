"""What a preflight says of costs is what the cost model says, whose prices have their one place there."""

import pytest

from benchmarks.cost import Assumptions, Picture, Stored, Worker, cost
from benchmarks.prices import PRICES
from imagejobs.estimate import OUTSIDE_CODEC_BYTES, OUTSIDE_CODEC_MS, WAITING_MS, Estimate, Seen, bytes_after, codec_ms
from imagejobs.options import CompressionOptions

DEFAULTS = CompressionOptions()
IMAGES = 1_000  # of a job, as in the model
WORKER = Worker(OUTSIDE_CODEC_MS, WAITING_MS, OUTSIDE_CODEC_BYTES)
STORED = Stored(bytes=668, wal_bytes=0, a_second=0)  # docs/scaling.md


@pytest.mark.parametrize(
    "seen",
    [Seen("jpeg", 730, 548, 115_000), Seen("jpeg", 1_500, 1_150, 472_000), Seen("png", 4_000, 3_000, 9_000_000)],
    ids=["small", "middle", "large"],
)
def test_an_estimate_is_what_the_cost_model_says(seen):
    picture = Picture("", codec_ms(seen, DEFAULTS), seen.bytes, bytes_after(seen, DEFAULTS))
    prices = {name: price.usd for name, price in PRICES.items()}
    a_million = sum(cost(picture, WORKER, STORED, prices, Assumptions(), "arm64").values())
    estimate = Estimate(DEFAULTS)
    for _ in range(IMAGES):
        estimate.add(seen, is_free=False)

    assert estimate.usd(rows=IMAGES) == pytest.approx(a_million * IMAGES / 1e6, rel=0.01)
