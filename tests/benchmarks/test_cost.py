"""How the figures of the benchmarks and the prices come to what a million images cost, and to what is full first."""

import json
from dataclasses import replace

import pytest

from benchmarks import cost
from benchmarks.cost import Assumptions, Picture, Stored, Worker, billed_ms, ceilings, overridden, read_figures
from benchmarks.prices import PRICES
from local.artifacts import PROJECT
from local.template import load_template

MEBIBYTE = 2**20
PICTURE = Picture("1 MiB", cpu_ms=100, bytes_before=MEBIBYTE, bytes_after=MEBIBYTE / 4)
WORKER = Worker(outside_ms=10, waiting_ms=5, bytes_before=MEBIBYTE)
STORED = Stored(bytes=1024, wal_bytes=2048, a_second=1000)
ASSUMED = Assumptions(images_a_row=2, images_a_job=10_000, fan_out_ms_a_row=0.3, result_ms_a_row=0.1, views_an_image=10)
USD = {
    "lambda_arm64": 1e-5,
    "lambda_x86": 2e-5,
    "lambda_request": 1e-6,
    "s3_put": 1e-5,
    "s3_get": 1e-6,
    "s3_storage": 0.02,
    "sqs_request": 1e-6,
    "sqs_fair_queue": 1e-6,
    "step_functions_transition": 1e-4,
    "rds_instance": 0.2,
    "rds_storage": 0.1,
    "nat_gateway": 0.04,
    "nat_processed": 0.04,
    "public_ipv4": 0.01,
    "cloudfront_out": 0.1,
    "cloudfront_request": 1e-6,
}
GIGABYTES_BEFORE = 976.5625  # a million MiB
GIGABYTES_AFTER = 244.140625


def test_the_cost_of_a_million_images_is_what_it_is_by_hand():
    assert cost.cost(PICTURE, WORKER, STORED, USD, ASSUMED, "arm64") == pytest.approx(
        {
            "Lambda, compress": 115_000 * 1769 / 1024 * 1e-5,  # 100 + 10 + 5 ms each
            "Lambda, fan_out and finalize": 0.002,  # half a million rows of 0.4 ms at 1 GB: 200 GB-seconds
            "Lambda, requests": 0.0109,  # 10,000 batches of 50 rows, 100 jobs of 9
            "S3, requests": 10.0064,  # a million and 600 PUTs, 400 GETs
            "S3, storage": GIGABYTES_AFTER * 0.02,
            "SQS": 0.3,  # 50,000 batches sent, received and deleted
            "Step Functions": 0.08,  # 800 transitions
            "NAT gateway, downloads": GIGABYTES_BEFORE * 0.04,
            "Postgres, storage": 1_024_000_000 / 2**30 * 0.1,
            "CloudFront": GIGABYTES_AFTER * 10 * 0.1 + 10,
        }
    )


def test_what_a_month_costs_without_an_image():
    assert cost.fixed_cost(USD, replace(ASSUMED, database_instances=2, nat_gateways=3)) == pytest.approx(
        {
            "Postgres, instance": 730 * 2 * 0.2,
            "NAT gateways and addresses": 730 * 3 * 0.05,
            "SQS, empty receives": 3.285,  # of five queues, a quarter a second each
        }
    )


def test_the_other_architecture_has_its_own_price_and_speed():
    slow_arm = replace(ASSUMED, cpu_arm64=1.5)
    parts = {name: cost.cost(PICTURE, WORKER, STORED, USD, slow_arm, name) for name in ("arm64", "x86")}
    assert parts["arm64"]["Lambda, compress"] == pytest.approx(170_000 * 1769 / 1024 * 1e-5)
    assert parts["x86"]["Lambda, compress"] == pytest.approx(115_000 * 1769 / 1024 * 2e-5)


@pytest.mark.parametrize(
    ("picture", "milliseconds"),
    [
        (replace(PICTURE, bytes_before=3 * MEBIBYTE), 100 + 3 * 10 + 5),
        (replace(PICTURE, bytes_before=MEBIBYTE / 8), 100 + 10 + 5),
    ],
)
def test_cpu_outside_the_codec_grows_with_bytes_and_is_never_less_than_was_measured(picture, milliseconds):
    assert billed_ms(picture, WORKER, ASSUMED, "arm64") == pytest.approx(milliseconds)


@pytest.mark.parametrize(("hosts", "milliseconds"), [(1, 3050 / 8), (4, (3050 + 40 + 110) / 16)])
def test_a_picture_that_takes_little_cpu_is_billed_for_waiting(hosts, milliseconds):
    slow_origin = replace(ASSUMED, origin_ms=3050, store_ms=40, hosts=hosts)
    assert billed_ms(PICTURE, WORKER, slow_origin, "arm64") == pytest.approx(milliseconds)


def test_as_many_compress_at_once_as_by_the_template_s_default():
    template = load_template(PROJECT / "template.yaml")
    connections = template["Parameters"]["DatabaseConnections"]["Default"]

    assert Assumptions().compress_concurrency == template["Mappings"]["Connections"][connections]["Compress"]


def test_a_part_is_full_when_all_that_may_work_at_once_do():
    assumed = replace(ASSUMED, compress_concurrency=23, images_a_day=864_000, peak=4)
    full_at = ceilings(PICTURE, WORKER, STORED, assumed)
    assert full_at["compress at once"] == pytest.approx(200)  # of 115 ms
    assert full_at["SQS, 120,000 in flight"] == pytest.approx(2400 / 0.115 * 2)  # 2,400 batches, two images a row
    assert full_at["Postgres, statements"] == 1000
    assert full_at["NAT gateway, 100 Gbit/s"] == pytest.approx(12.5e9 / MEBIBYTE)
    assert (full_at["load, mean"], full_at["load, peak"]) == pytest.approx((10, 40))


def test_what_the_worker_adds_is_read_from_the_ratios_to_the_loop():
    figures = {
        "CPU an image of the loop, ms": 20,
        "CPU an image of the worker, ms": 23,
        "origin that takes 150 ms, worker : loop": 0.8,
    }
    found = cost.worker_of(figures, {"bytes before, 1.7 MP": 170_000})
    assert (found.outside_ms, found.waiting_ms, found.bytes_before) == pytest.approx((3, 2, 170_000))


def test_prices_and_assumptions_are_overridden_by_name():
    prices, assumed = overridden(["lambda_arm64=0.5", "images_a_job=20"])
    assert prices == {**{name: price.usd for name, price in PRICES.items()}, "lambda_arm64": 0.5}
    assert assumed == replace(Assumptions(), images_a_job=20)


@pytest.mark.parametrize(
    ("override", "message"),
    [("lambda_arm46=1", "no price and no assumption 'lambda_arm46'"), ("nat_share", "must be name=number")],
)
def test_an_override_that_says_nothing_is_refused(override, message):
    with pytest.raises(SystemExit, match=message):
        overridden([override])


def test_a_benchmark_that_was_not_run_is_named_with_what_runs_it(monkeypatch, tmp_path):
    monkeypatch.setattr("benchmarks.report.BUILD", tmp_path)
    with pytest.raises(SystemExit, match=r"no build/worker\.json; `make bench` writes it"):
        read_figures("worker", "make bench")


def test_the_report_is_made_from_the_last_runs_and_kept(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr("benchmarks.report.BUILD", tmp_path / "build")
    (tmp_path / "build").mkdir()
    keep(tmp_path, "worker", WORKER_FIGURES)
    keep(tmp_path, "cost_measure", MEASURED_FIGURES)
    with pytest.raises(SystemExit) as ended:
        cost.main(["s3_put=0.00001"])
    kept = json.loads((tmp_path / "build" / "cost.json").read_text())
    assert ended.value.code == 0
    assert kept["usd_a_million"]["arm64"]["12 MP"]["S3, requests"] == pytest.approx(10.0616)
    assert kept["prices"]["s3_put"] == 0.00001
    assert "s3_put!" in capsys.readouterr().out


def keep(folder, benchmark, figures):
    """A benchmark's JSON, as far as it is read."""
    found = [{"name": name, "value": value} for name, value in figures.items()]
    (folder / "build" / f"{benchmark}.json").write_text(json.dumps({"figures": found}))


WORKER_FIGURES = {
    "CPU an image of the loop, ms": 20,
    "CPU an image of the worker, ms": 23,
    "origin that takes 150 ms, worker : loop": 0.8,
}
MEASURED_FIGURES = {
    **{cost.cpu_ms(name): 20 for name in cost.SIZES},
    **{cost.bytes_before(name): 200_000 for name in cost.SIZES},
    **{cost.bytes_after(name): 50_000 for name in cost.SIZES},
    cost.DATABASE_BYTES: 700,
    cost.WAL_BYTES: 2_000,
    cost.DATABASE_RATE: 1_000,
}
