"""One stack for all end-to-end tests, pictures that it can fetch, and a client of its API.

By default they start a local stack. With `E2E_STACK`, the name of a deployed one, they use that (`make e2e`): with
AWS's own environment, the token in `E2E_TOKEN` and, for webhooks, a public URL in `E2E_WEBHOOK_URL` that answers 2xx.
"""

import os
import subprocess
import sys
import sysconfig
from collections.abc import Iterator, Mapping
from pathlib import Path
from threading import Event

import pytest

from local.ports import LOOPBACK, claim_port
from local.stack import Options, Stack, StackInfo
from operations.target import Target
from tests.e2e.customer import Client, Surroundings, until
from tests.e2e.shops import SAMPLES, LoopbackShop, Shop, bucket_shop
from tests.unit.fetch_helpers import http_answer, origin, says

ROOT = Path(__file__).parents[2]
STACK_NAME = os.environ.get("E2E_STACK", "")
GATE_SECONDS = 30.0


@pytest.hookimpl(tryfirst=True)  # before pytest-xdist, which puts the group into each test's id in this hook
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Keep these tests in one of the parallel processes, so that one stack serves them all."""
    for item in items:
        if item.path.is_relative_to(Path(__file__).parent):
            item.add_marker(pytest.mark.xdist_group("stack"))
            if STACK_NAME and item.get_closest_marker("local"):
                item.add_marker(pytest.mark.skip(reason="needs what only a local stack lets it do"))


@pytest.fixture(scope="session")
def surroundings(request: pytest.FixtureRequest) -> Surroundings:
    found: Surroundings = request.getfixturevalue("deployed_surroundings" if STACK_NAME else "local_surroundings")
    return found


@pytest.fixture(scope="session")
def client(surroundings: Surroundings) -> Client:
    return surroundings.client


@pytest.fixture(scope="session")
def shop(surroundings: Surroundings) -> Shop:
    return surroundings.shop


@pytest.fixture(scope="session")
def webhook_url(surroundings: Surroundings) -> str:
    if not surroundings.webhook_url:
        pytest.skip("E2E_WEBHOOK_URL is not set: a public URL that answers every POST with 2xx")
    return surroundings.webhook_url


@pytest.fixture(scope="session")
def deployed_surroundings() -> Iterator[Surroundings]:
    """A deployed stack with pictures in its own bucket."""
    token = os.environ.get("E2E_TOKEN")
    if not token:
        pytest.skip(f"E2E_TOKEN is not set: make tokens STACK={STACK_NAME} ARGS='create e2e' shows one")
    target = Target.deployed(STACK_NAME)
    client = Client(target, token)
    until(lambda: client.request("GET", "/job/status/x").status_code != 401)  # a new token is let in within a minute
    with bucket_shop(target) as pictures:
        yield Surroundings(client, pictures, os.environ.get("E2E_WEBHOOK_URL", ""))


@pytest.fixture(scope="session")
def local_shop() -> Iterator[LoopbackShop]:
    shop = LoopbackShop()
    with origin(shop) as server:
        shop.origin = server.origin
        yield shop


@pytest.fixture(scope="session")
def stack(local_shop: LoopbackShop, state_dir: Path) -> Iterator[StackInfo]:
    """A local stack; what its bucket serves by presigned links may be fetched, too."""
    assert not STACK_NAME, "mark the test as local"
    port = claim_port(0)
    options = Options(port=port, private_origins=[local_shop.origin, f"{LOOPBACK}:{port}"], webhook_time_scale=0.01)
    with Stack.start(state_dir / "stack", options) as running:
        yield running.info


@pytest.fixture(scope="session")
def local_surroundings(stack: StackInfo, local_shop: LoopbackShop, state_dir: Path) -> Surroundings:
    """A local stack with a shop beside it that accepts webhooks."""
    client = Client.local(state_dir / "stack" / "stack.json")
    return Surroundings(client, local_shop, local_shop.url("/hooks/accepted"))


@pytest.fixture
def gate(shop: LoopbackShop) -> Iterator[Event]:
    """`/late.jpg` of the shop is not handed out before this is set."""
    gate = Event()
    handed_out = says(http_answer((SAMPLES / "vase.jpg").read_bytes()))
    shop.answers["/late.jpg"] = [lambda request, wire: gate.wait(GATE_SECONDS) and handed_out(request, wire)]
    yield gate
    gate.set()


@pytest.fixture(scope="session")
def command(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The command line as `pip install .` makes it, in an environment of its own; its packages are the tests' own."""
    folder = tmp_path_factory.mktemp("installed")
    uv = str(Path(sys.executable).with_name("uv"))
    for step in (
        [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", str(folder)],
        [uv, "venv", "--quiet", "--offline", "--python", sys.executable, str(folder / "venv")],
    ):
        subprocess.run(step, cwd=ROOT, check=True, capture_output=True)
    (wheel,) = folder.glob("*.whl")
    install = [uv, "pip", "install", "--quiet", "--offline", "--no-deps", "--python", str(folder / "venv"), str(wheel)]
    subprocess.run(install, check=True)
    (site_packages,) = folder.glob("venv/lib/*/site-packages")
    (site_packages / "tests.pth").write_text(sysconfig.get_path("purelib"), encoding="utf-8")
    return folder / "venv" / "bin" / "imagejobs"


@pytest.fixture
def user_environment(
    surroundings: Surroundings, command: Path, tmp_path_factory: pytest.TempPathFactory
) -> Mapping[str, str]:
    """What a user of the stack has in the environment: the API, the token, the command; and a home without settings."""
    client = surroundings.client
    python = Path(sys.executable).parent
    return {
        "PATH": os.pathsep.join([str(command.parent), str(python), os.environ["PATH"]]),
        "HOME": str(tmp_path_factory.mktemp("home")),
        "LANG": "C.UTF-8",
        "API": client.api_url,
        "TOKEN": client.token,
        "IMAGEJOBS_API_URL": client.api_url,
        "IMAGEJOBS_TOKEN": client.token,
    }
