"""A loopback origin that says, byte for byte, what a test tells it to; and a wire that leads there."""

import datetime
import ipaddress
import socket
import ssl
import threading
from collections import defaultdict
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from imagejobs import fetch
from imagejobs.destinations import Destinations, HostList, parse_origins

PUBLIC_ADDRESS = "93.184.216.34"


def destinations(*private_origins: str, allowed: str = "", denied: str = "") -> Destinations:
    """What an operator says in the template's parameters."""
    return Destinations(parse_origins(",".join(private_origins)), HostList.parse(allowed), HostList.parse(denied))


@dataclass(frozen=True, slots=True)
class Request:
    """What the origin received."""

    line: str
    headers: dict[str, str]
    body: bytes

    @property
    def resource(self) -> str:
        return self.line.split(" ")[1]


Answer = Callable[[Request, socket.socket], None]


def http_answer(body: bytes = b"", *, status: str = "200 OK", **headers: str) -> bytes:
    """An answer that lets the connection live; `Retry_After="5"` becomes `Retry-After: 5`."""
    fields = {"Content-Length": str(len(body)), **{name.replace("_", "-"): headers[name] for name in headers}}
    head = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
    return f"HTTP/1.1 {status}\r\n{head}\r\n".encode() + body


def says(answer: bytes, *, then_close: bool = False) -> Answer:
    """Send the same bytes to everyone."""

    def send(_: Request, wire: socket.socket) -> None:
        wire.sendall(answer)
        if then_close:
            wire.shutdown(socket.SHUT_RDWR)

    return send


def serves(body: bytes, **headers: str) -> Answer:
    """As a web server does: the body, or that it is the one with these validators still."""

    def send(request: Request, wire: socket.socket) -> None:
        asked = request.headers.get("if-none-match"), request.headers.get("if-modified-since")
        if any(each in headers.values() for each in asked if each):
            wire.sendall(http_answer(status="304 Not Modified", **headers))
        else:
            wire.sendall(http_answer(body, **headers))

    return send


def trickles(head: bytes, piece: bytes) -> Answer:
    """Send the head, then a piece every 20 ms for as long as anybody listens."""

    def send(_: Request, wire: socket.socket) -> None:
        pause = threading.Event()
        wire.sendall(head)
        while not pause.wait(0.02):
            wire.sendall(piece)

    return send


@dataclass
class Origin:
    """A server on 127.0.0.1; counts its connections and keeps the requests."""

    answer: Answer
    tls: ssl.SSLContext | None = None
    requests: list[Request] = field(default_factory=list)
    connections: int = 0
    answers: dict[str, list[Answer]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self._wires: list[socket.socket] = []
        self._threads = [threading.Thread(target=self._accept)]
        self._threads[0].start()

    @property
    def origin(self) -> str:
        return f"127.0.0.1:{self.port}"

    def url(self, resource: str = "/cat.jpg") -> str:
        return f"http://{self.origin}{resource}"

    def close(self) -> None:
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for wire in self._wires:
            with suppress(OSError):
                wire.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(5)

    def _accept(self) -> None:
        while True:
            try:
                wire, _ = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            thread = threading.Thread(target=self._serve, args=(wire,))
            self._threads.append(thread)
            thread.start()

    def _serve(self, wire: socket.socket) -> None:
        with suppress(OSError), wire:
            served = self.tls.wrap_socket(wire, server_side=True) if self.tls else wire
            self._wires.append(served)
            with served, served.makefile("rb") as lines:
                while request := _read_request(lines):
                    self.requests.append(request)
                    self.answer(request, served)
                    if request.headers.get("connection") == "close":
                        return


def _read_request(lines) -> Request | None:
    line = lines.readline().decode("latin-1").strip()
    if not line:
        return None
    headers = {}
    while field_line := lines.readline().decode("latin-1").strip():
        name, _, value = field_line.partition(":")
        headers[name.lower()] = value.strip()
    return Request(line, headers, lines.read(int(headers.get("content-length", "0"))))


@contextmanager
def origin(answer: Answer, tls: ssl.SSLContext | None = None) -> Iterator[Origin]:
    server = Origin(answer, tls)
    try:
        yield server
    finally:
        server.close()


@contextmanager
def scripted_origin(default: Answer) -> Iterator[Origin]:
    """An origin whose `answers` a test fills: each path gets the next of its own, the last one for good."""
    answers: dict[str, list[Answer]] = defaultdict(lambda: [default])
    lock = threading.Lock()

    def answer(request: Request, wire: Any) -> None:
        with lock:
            remaining = answers[request.resource]
            chosen = remaining[0] if len(remaining) == 1 else remaining.pop(0)
        chosen(request, wire)

    with origin(answer) as server:
        server.answers = answers
        yield server


def patch_resolver(monkeypatch, *rounds: list[str]) -> list[str]:
    """Answer look-ups from a script: one list of addresses a look-up, the last one for all that follow.

    Returns the names asked for, in order.
    """
    script = list(rounds)
    asked: list[str] = []

    def getaddrinfo(host, *args, **kwargs):
        asked.append(host)
        addresses = script.pop(0) if len(script) > 1 else script[0]
        return [(0, socket.SOCK_STREAM, 6, "", (address, 0)) for address in addresses]

    monkeypatch.setattr("socket.getaddrinfo", getaddrinfo)
    return asked


def patch_wire(
    monkeypatch, port: int, *, peer: str | None = None, black_holes: Collection[str] = ()
) -> list[tuple[str, int]]:
    """Lead every dialled IPv4 address to a loopback port, while the socket believes that it got through.

    Returns the dialled addresses, in order. `peer` is whom the socket then claims to be connected to;
    `black_holes` are addresses that never answer.
    """
    dialled: list[tuple[str, int]] = []

    class Wire(fetch._TimedSocket):
        def connect(self, address):
            dialled.append(address)
            if address[0] in black_holes:
                threading.Event().wait(self.gettimeout())
                raise TimeoutError
            super().connect(("127.0.0.1", port))

        def getpeername(self):
            return (peer or dialled[-1][0], port)

    monkeypatch.setattr(fetch, "_TimedSocket", Wire)
    return dialled


@dataclass(frozen=True, slots=True)
class Authority:
    """A certificate authority of the test's own, with the file that makes OpenSSL trust it."""

    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey
    folder: Path

    @property
    def file(self) -> Path:
        return self.folder / "authority.pem"

    def server_context(self, name: str, *, expired: bool = False) -> ssl.SSLContext:
        """A server's context with a certificate for one name."""
        key = ec.generate_private_key(ec.SECP256R1())
        certificate = self._certificate_for(name, key, days=-1 if expired else 1)
        file = self.folder / f"{name}.pem"
        file.write_bytes(certificate.public_bytes(serialization.Encoding.PEM) + _pem(key))
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(file)
        return context

    def _certificate_for(self, name: str, key: ec.EllipticCurvePrivateKey, days: int) -> x509.Certificate:
        try:
            subject: x509.GeneralName = x509.IPAddress(ipaddress.ip_address(name))
        except ValueError:
            subject = x509.DNSName(name)
        return (
            _builder(name, self.certificate.subject, key, days)
            .add_extension(x509.SubjectAlternativeName([subject]), critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(self.key.public_key()), critical=False)
            .sign(self.key, hashes.SHA256())
        )


def make_authority(folder: Path) -> Authority:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "Test authority")])
    # What VERIFY_X509_STRICT, the default from Python 3.13 on, wants to see in an authority.
    usage = x509.KeyUsage(
        digital_signature=False,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=True,
        crl_sign=True,
        encipher_only=False,
        decipher_only=False,
    )
    certificate = (
        _builder("Test authority", name, key, days=2)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .add_extension(usage, critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )
    authority = Authority(certificate, key, folder)
    authority.file.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    return authority


def _builder(name: str, issuer: x509.Name, key: ec.EllipticCurvePrivateKey, days: int) -> x509.CertificateBuilder:
    now = datetime.datetime.now(datetime.UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)]))
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=2))
        .not_valid_after(now + datetime.timedelta(days=days))
    )


def _pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
