"""How a function gets into the database: whom it believes to be the server, and with what it signs in."""

import json
import re
import socket
import ssl
import struct
import threading
import warnings
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib.resources import files

import boto3
import psycopg2
import pytest
from cryptography import x509

from imagejobs.database import Database
from local.template import load_template
from tests.template.expansion import TEMPLATE
from tests.unit.fetch_helpers import Authority, make_authority

ROOTS = files("imagejobs") / "database-roots.pem"
TLS = {mode: values["Options"] for mode, values in load_template(TEMPLATE)["Mappings"]["Tls"].items()}
HOST, USER = "localhost", "imagejobs"
REFUSAL = "the server was reached"


@dataclass
class Server:
    """What speaks as a Postgres does until somebody has signed in; it refuses everybody."""

    port: int
    asked: list[dict[str, str]] = field(default_factory=list)


@pytest.fixture(scope="module")
def authority(tmp_path_factory) -> Authority:
    return make_authority(tmp_path_factory.mktemp("authority"))


@contextmanager
def server(tls: ssl.SSLContext) -> Iterator[Server]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        running = Server(listener.getsockname()[1])
        thread = threading.Thread(target=serve, args=(listener, tls, running))
        thread.start()
        yield running
        listener.shutdown(socket.SHUT_RDWR)
        thread.join(5)


def serve(listener: socket.socket, tls: ssl.SSLContext, running: Server) -> None:
    """https://www.postgresql.org/docs/current/protocol-message-formats.html has SSLRequest and StartupMessage."""
    while True:
        try:
            wire, _ = listener.accept()
            wire.settimeout(5)
            assert wire.recv(8) == struct.pack("!ii", 8, 80877103)
            wire.sendall(b"S")
            with tls.wrap_socket(wire, server_side=True) as secured:
                if not (head := secured.recv(8)):
                    continue  # the client was not convinced
                length, _ = struct.unpack("!ii", head)
                words = secured.recv(length - 8).decode().rstrip("\0").split("\0")
                running.asked.append(dict(zip(words[::2], words[1::2], strict=True)))
                error = f"SFATAL\0VFATAL\0C28000\0M{REFUSAL}\0\0".encode()
                secured.sendall(b"E" + struct.pack("!i", len(error) + 4) + error)
        except ssl.SSLError:
            continue
        except OSError:
            return


def connect(monkeypatch, dsn: str, secret_arn: str) -> str:
    """What comes of an attempt."""
    monkeypatch.setattr("imagejobs.database.ATTEMPTS", 1)
    monkeypatch.setenv("DATABASE_DSN", dsn)
    monkeypatch.setenv("DATABASE_SECRET_ARN", secret_arn)
    monkeypatch.setenv("POWERTOOLS_SERVICE_NAME", "api")
    with closing(Database.from_environment()) as database, pytest.raises(psycopg2.OperationalError) as refused:
        database.execute("list_migrations")
    return str(refused.value)


@pytest.fixture
def secret_arn(aws) -> str:
    content = json.dumps({"username": "master", "password": "from the secret"})
    return boto3.client("secretsmanager").create_secret(Name="database", SecretString=content)["ARN"]


def options(mode: str, roots: object = ROOTS) -> str:
    """The template's, the file of roots where it lies here."""
    return re.sub(r"sslrootcert=\S+", f"sslrootcert={roots}", TLS[mode])


def test_a_server_that_the_roots_vouch_for_is_signed_in_at(monkeypatch, authority, secret_arn):
    with server(authority.server_context(HOST)) as running:
        dsn = f"host={HOST} port={running.port} dbname=db {options('verify-full', authority.file)}"

        assert REFUSAL in connect(monkeypatch, dsn, secret_arn)

    assert (running.asked[0]["user"], running.asked[0]["database"]) == ("master", "db")
    assert running.asked[0]["application_name"] == "api"
    assert "options" not in running.asked[0], "it would pin a proxy's connection"


def test_a_server_that_none_of_the_roots_vouches_for_learns_nothing(monkeypatch, authority, secret_arn):
    with server(authority.server_context(HOST)) as running:
        dsn = f"host={HOST} port={running.port} dbname=db {options('verify-full')}"

        assert "certificate verify failed" in connect(monkeypatch, dsn, secret_arn)

    assert running.asked == []


def test_a_server_with_another_s_certificate_learns_nothing(monkeypatch, authority, secret_arn):
    with server(authority.server_context("other.example")) as running:
        dsn = f"host={HOST} port={running.port} dbname=db {options('verify-full', authority.file)}"

        assert "does not match host name" in connect(monkeypatch, dsn, secret_arn)

    assert running.asked == []


def test_an_existing_server_may_have_a_certificate_of_its_own(monkeypatch, authority, secret_arn):
    with server(authority.server_context("other.example")) as running:
        dsn = f"host={HOST} port={running.port} dbname=db {options('require')}"

        assert REFUSAL in connect(monkeypatch, dsn, secret_arn)


@pytest.mark.usefixtures("aws")
def test_without_a_secret_the_user_of_the_connection_string_signs_in_by_iam(monkeypatch):
    """The password is a signed request to connect: https://docs.aws.amazon.com/AmazonRDS/latest/UserGuide/UsingWithRDS.IAMDBAuth.html"""
    given = {}
    monkeypatch.setattr(psycopg2, "connect", lambda dsn, **values: given.update(values) or refuse())

    connect(monkeypatch, f"host=proxy.example port=5432 dbname=db user={USER} sslmode=verify-full", "")

    assert given["password"].startswith(f"proxy.example:5432/?Action=connect&DBUser={USER}&X-Amz-Algorithm=")
    assert "X-Amz-Expires=900" in given["password"]
    assert "user" not in given


def refuse():
    raise psycopg2.OperationalError(REFUSAL)


def test_the_roots_are_authorities_that_sign_themselves_and_outlast_this_code():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        roots = x509.load_pem_x509_certificates(ROOTS.read_bytes())
    names = {root.subject.get_attributes_for_oid(x509.NameOID.COMMON_NAME)[0].value for root in roots}

    for root in roots:
        root.verify_directly_issued_by(root)
        assert root.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
        assert root.not_valid_after_utc > datetime(2037, 1, 1, tzinfo=UTC)
    assert {
        name for name in names if not re.fullmatch(r"Amazon RDS [a-z0-9-]+ Root CA (RSA2048|RSA4096|ECC384) G1", name)
    } == {f"Amazon Root CA {number}" for number in range(1, 5)}
    assert "Amazon RDS us-east-1 Root CA RSA2048 G1" in names
