"""Real pictures: every output decodes, has its input's size, and none is larger."""

from imagejobs.image import compress
from imagejobs.options import CompressionOptions
from tests.unit.image_helpers import as_seen, decode, files_under


def test_no_real_picture_grows_or_changes_size():
    for path in files_under("CORPUS_DIR"):
        body = path.read_bytes()
        result = compress(body, CompressionOptions())
        output = decode(result.body)
        assert len(result.body) <= len(body), path.name
        assert output.size == as_seen(body).size == (result.width, result.height), path.name
        assert output.mode != "CMYK", path.name
        if result.outcome == "unchanged":
            assert output.tobytes() == decode(body).tobytes(), path.name


def test_magazine_quality_photographs_lose_a_third_of_their_bytes():
    bodies = [path.read_bytes() for path in files_under("CORPUS_DIR", "*/*.jpg") if path.parent.name == "maghq"]
    results = [compress(body, CompressionOptions()).body for body in bodies]
    assert sum(map(len, results)) < 0.67 * sum(map(len, bodies))
