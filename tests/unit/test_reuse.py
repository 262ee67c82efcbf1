"""By what an image is known again: everything that its bytes depend on, and nothing else."""

import pytest

from imagejobs import reuse
from imagejobs.options import CODING_OPTIONS, CompressionOptions

URL = "https://shop.example/a.jpg"
FIELDS = {"quality": "60", "format": "webp"}


def keys(owner="shop", fields=FIELDS, url=URL, body=b"x"):
    return reuse.url_key(owner, fields, url), reuse.content_key(owner, fields, body)


def test_the_keys_stay_the_same_from_day_to_day_whatever_the_order_of_the_options():
    assert keys(fields=dict(reversed(FIELDS.items()))) == keys()
    assert list(map(str, keys())) == ["b06c0959-092c-b341-1eb9-e4025d51e458", "402071c2-c951-1d37-f352-e9b80975af91"]


@pytest.mark.parametrize(
    "other", [{"owner": "another"}, {"fields": {}}, {"fields": {**FIELDS, "quality": "61"}}], ids=str
)
def test_another_caller_or_coding_is_another_key(other):
    assert not set(keys()) & set(keys(**other))


def test_another_url_or_body_is_another_key_and_neither_is_taken_for_the_other():
    assert len({*keys(), *keys(url=f"{URL}?v=2", body=b"y"), *keys(url="x", body=URL.encode())}) == 6


def test_all_options_but_those_that_change_no_byte_are_in_the_keys():
    assert CompressionOptions.names() - CODING_OPTIONS == {"reuse"}
    assert keys(fields={**FIELDS, "reuse": "false"}) == keys()


def test_a_new_meaning_of_the_options_forgets_all_keys(monkeypatch):
    before = keys()
    monkeypatch.setattr(reuse, "CODING_VERSION", reuse.CODING_VERSION + 1)
    assert not set(before) & set(keys())


@pytest.mark.parametrize(("fields", "wanted"), [({}, True), ({"reuse": "false"}, False), (FIELDS, True)])
def test_images_are_reused_unless_the_job_says_otherwise(fields, wanted):
    assert reuse.is_wanted(CompressionOptions.from_fields(fields).to_fields()) is wanted
