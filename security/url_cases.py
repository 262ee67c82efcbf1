"""URLs that must not be contacted: private and reserved addresses, odd spellings of them, other schemes, tricks.

The spellings are those that readers of URLs disagree about: see "A New Era of SSRF" (Orange Tsai, Black Hat USA 2017)
and the OWASP cheat sheet "Server-Side Request Forgery Prevention".
"""

from collections.abc import Iterator, Sequence
from ipaddress import IPv4Network, IPv6Network, ip_address
from pathlib import Path

from imagejobs.addresses import REFUSED_IPV4, REFUSED_IPV6

HOSTS_FILE = Path("/etc/hosts")
PICTURE = "/picture.jpg"
PUBLIC = "93.184.216.34"  # stands for a host that may be contacted; nothing here leads to it

# Beside the tables of the service, what they leave to the rule that public IPv6 is 2000::/3.
OUTSIDE_IPV6 = ("4000::1", "8000::1", "e000::1")
# AWS's own: instance metadata, a container's credentials, the time service, DNS, metadata over IPv6.
CLOUD = ("169.254.169.254", "169.254.170.2", "169.254.169.123", "169.254.169.253", "[fd00:ec2::254]")

# One way to write 127.0.0.1 or its mate each, as hosts.
SPELLINGS = (
    *("0177.0.0.1", "0177.0000.0000.0001", "017700000001", "0x7f.0.0.1", "0x7f.0x0.0x0.0x1", "0x7f000001"),
    *("0X7F000001", "2130706433", "127.1", "127.0.1", "0x7f.1", "0177.1", "127.0.0.01", "127.0.0.0x1", "0", "0x0"),
    *("00000000", "127.0.0.1.", "127.0.0.1..", "127..0.0.1", "256.256.256.256", "383.0.0.1", "4294967295"),
    *("4294967297", "18446744071692774657", "1e0.0.0.1", "127.0.0.1%00", "127.0.0.1%2f", "%31%32%37.0.0.1"),
    *("%6c%6f%63%61%6c%68%6f%73%74", "127%2e0%2e0%2e1", "１２７.０.０.１", "①②⑦.⓪.⓪.①", "127。0。0。1", "127．0．0．1"),  # noqa: RUF001
    *("ⓛⓞⓒⓐⓛⓗⓞⓢⓣ", "ｌｏｃａｌｈｏｓｔ", "localhoſt", "loc\u00adalhost", "127.0.0.1\u200b", "\u202e1.0.0.721"),  # noqa: RUF001
    *("localhost", "LOCALHOST", "localhost.", "localhost:", "localhost%2e", "[localhost]", "[127.0.0.1]"),
    *("[::1]", "[0:0:0:0:0:0:0:1]", "[::0001]", "[::]", "::1", "[::1", "::1]", "[[::1]]", "[::1%25lo]", "[::1%lo]"),
    *("[fe80::1%25eth0]", "[::ffff:127.0.0.1]", "[::ffff:7f00:1]", "[0:0:0:0:0:ffff:127.0.0.1]", "[::127.0.0.1]"),
    *("[::ffff:0:127.0.0.1]", "[64:ff9b::127.0.0.1]", "[64:ff9b::7f00:1]", "[64:ff9b:1::127.0.0.1]"),
    *("[2002:7f00:1::]", "[2002:7f00:0001::1]", "[2001:0:7f00:1::]", "[::ffff:169.254.169.254]", "[2002:a9fe:a9fe::]"),
    *("[v1.::1]", "0xa9fea9fe", "2852039166", "0251.0376.0251.0376", "169.254.43518"),
)

# Whole URLs with a host in them, {} its "host:port".
TRICKS = (
    *("http://user@{}/", "http://user:password@{}/", "http://@{}/", "http://:@{}/", "http://{}@{}/", "http://%40{}/"),
    *(f"http://{PUBLIC}@{{}}/", f"http://{PUBLIC}%40{{}}/", f"http://{PUBLIC}:80@{{}}/", "http://user@user@{}/"),
    *(f"http://{{}}#@{PUBLIC}/", f"http://{{}}?@{PUBLIC}/", f"http://{{}}/@{PUBLIC}/", f"http://{{}};@{PUBLIC}/"),
    *(
        f"http://{{}}\\@{PUBLIC}/",
        f"http://{PUBLIC}\\@{{}}/",
        f"http://{PUBLIC}/\\@{{}}/",
        "http:\\\\{}\\",
        "http:/\\{}/",
    ),
    *("http:/{}/", "http:{}/", "http:///{}/", "http:////{}/", "//{}/", "{}/", "HTTP://{}/", "hTtP://{}/"),
    *("http://{}\t/", "ht\ttp://{}/", "http://\t{}/", "http:// {}/", "http://{} /", "http://{}/a b", "http://{}/\x01"),
    *(
        "http://{}/\x7f",
        "\x01http://{}/",
        "\x1fhttp://{}/",
        "http://{}\u2028/",
        "http://{}/\u2029",
    ),
    *("http://{}/\r\nHost: example.com", "http://{}/\nX: y", "http://{}/%0d%0aX-Injected:%20yes", "http://{}%0d%0a/"),
    *(
        f"http://{PUBLIC}%0d%0aHost:{{}}/",
        f"http://{PUBLIC}%00{{}}/",
        f"http://{PUBLIC}%09{{}}/",
        f"http://{PUBLIC}%20{{}}/",
    ),
    *(f"http://{PUBLIC} {{}}/", f"http://{PUBLIC}:80:{{}}/", f"http://{PUBLIC}:@{{}}/", "http://{}:80/", "http://{}:/"),
    *("file:///etc/passwd", "file://{}/etc/passwd", "FILE:///etc/passwd", "ftp://{}/picture.jpg", "ftps://{}/"),
    *("gopher://{}/_GET%20/%0d%0a", "dict://{}/stat", "ldap://{}/", "tftp://{}/picture", "sftp://{}/", "ws://{}/"),
    *("data:image/gif;base64,R0lGODlhAQABAAAAACw=", "javascript:alert(1)", "jar:http://{}/!/", "netdoc:///etc/passwd"),
    *(
        "unix:///var/run/docker.sock",
        "http+unix://%2Fvar%2Frun%2Fdocker.sock/",
        "phar://{}/",
        "php://filter",
        "view-source:http://{}/",
    ),
    *("s3://bucket/key", "blob:http://{}/", "about:blank", "/etc/passwd", "..", "?", "#", "picture.jpg"),
)

# Ports as they may be written, and those of services that stand on loopback: SSH, Postgres, Lambda's own, X-Ray.
PORTS = ("0", "080", "+80", "-1", "65536", "99999", "4294967376", "0x50", "８０", "22", "5432", "9001", "2000", "")  # noqa: RUF001


def private_addresses() -> Iterator[tuple[str, str]]:
    """The first, a middle and the last address of every range that the service refuses, as hosts of URLs."""
    refused: list[tuple[IPv4Network | IPv6Network, str]] = [*REFUSED_IPV4, *REFUSED_IPV6]
    for network, reason in refused:
        for host in dict.fromkeys(_addresses(network)):
            yield f"an address {reason}", host
    for text in OUTSIDE_IPV6:
        yield "an address outside public IPv6", f"[{text}]"
    for host in CLOUD:
        yield "one of the cloud's own addresses", host


def _addresses(network: IPv4Network | IPv6Network) -> Iterator[str]:
    for place in (0, network.num_addresses // 2, network.num_addresses - 1):
        yield f"[{network[place]}]" if network.version == 6 else str(network[place])


def hostile_urls(own_ports: Sequence[int], hosts_file: Path = HOSTS_FILE) -> Iterator[tuple[str, str]]:
    """What each is, and its URL.

    Args:
        own_ports: Loopback ports on which something listens: the stack's own, and canaries.
        hosts_file: Names that it gives loopback addresses are tried.
    """
    for name, host in private_addresses():
        yield name, f"http://{host}{PICTURE}"
        yield f"{name}, over TLS", f"https://{host}{PICTURE}"
    for host in (*SPELLINGS, *loopback_names(hosts_file)):
        yield "another spelling of loopback", f"http://{host}{PICTURE}"
    for port in own_ports:
        for host in ("127.0.0.1", "localhost", "[::1]", "2130706433", "127.1", "[::ffff:127.0.0.1]", "0.0.0.0"):
            yield "a port of the stack's own", f"http://{host}:{port}{PICTURE}"
        for trick in TRICKS:
            yield "a trick", trick.replace("{}", f"127.0.0.1:{port}")
    for written in PORTS:
        for host in ("127.0.0.1", "localhost"):
            yield "a port that is none, or another service's", f"http://{host}:{written}{PICTURE}"
    yield "a URL of 10,000 characters", f"http://127.0.0.1/{'a' * 10_000}"
    yield "a host of 1,000 labels", f"http://{'a.' * 1_000}local{PICTURE}"


def loopback_names(hosts_file: Path = HOSTS_FILE) -> list[str]:
    """The names that this machine's own table gives loopback addresses."""
    lines = [line.partition("#")[0].split() for line in hosts_file.read_text(encoding="utf-8").splitlines()]
    found = [names for address, *names in filter(None, lines) if ip_address(address.partition("%")[0]).is_loopback]
    return sorted({"localhost", *(name for names in found for name in names)})
