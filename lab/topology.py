# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The lab as data: networks, hosts, addresses, what each host is made of and when it counts as healthy.

Nothing here does anything; the names that resolve to these addresses are in :mod:`lab.names`. Public addresses are from
the benchmarking ranges (RFC 2544, RFC 5180), which no machine on the Internet has, and not from the documentation
ranges, in which a host may live and whose reverse zones unbound answers by itself.
"""

from __future__ import annotations

from dataclasses import dataclass

LABEL = "org.mailstead.lab"
SPEC_LABEL = "org.mailstead.lab.spec"
PREFIX = "mailstead-"

#: Routed nowhere while the lab is up, so that nothing aimed at the lab can leave the machine.
GUARDED4 = "198.18.0.0/15"
GUARDED6 = "2001:2::/48"


@dataclass(frozen=True)
class Network:
    """A layer-2 segment: a bridge without any address of the machine's own. gateway4 and gateway6 belong to ``owner``."""

    name: str
    bridge: str
    ipv4: str
    ipv6: str
    gateway4: str
    gateway6: str
    owner: str


@dataclass(frozen=True)
class Link:
    """A host's leg in a network. extra: further addresses (either family) that the harness adds once the host runs."""

    network: str
    ipv4: str
    ipv6: str
    extra: tuple[str, ...] = ()


@dataclass(frozen=True)
class TcpCheck:
    """Healthy when this port accepts a connection from the controller's namespace."""

    address: str
    port: int


@dataclass(frozen=True)
class DnsCheck:
    """Healthy when this server answers NOERROR with at least one record; authentic: and sets the AD flag."""

    server: str
    name: str
    type: str
    authentic: bool = False


@dataclass(frozen=True)
class CommandCheck:
    """Healthy when this program, run inside the host, ends with status 0."""

    argv: tuple[str, ...]


Check = TcpCheck | DnsCheck | CommandCheck


@dataclass(frozen=True)
class Bind:
    """A directory of the machine (relative to the repository) seen inside the host."""

    source: str
    target: str
    read_only: bool = True


@dataclass(frozen=True)
class Volume:
    """A volume that lives as long as its host."""

    name: str
    target: str


@dataclass(frozen=True)
class Certificate:
    """A certificate by the static authority. It appears as ``/lab/pki/<name>.crt`` (chain) and ``.key`` in the host."""

    name: str
    names: tuple[str, ...]


@dataclass(frozen=True)
class Host:
    """A machine of the lab.

    image: name of an image of ours, without the ``mailstead-lab/``. systemd: boots an init system (flags of such a
    container) instead of the image's own command. ssh: gets the lab's host and login keys. trusts: gets both
    authorities once the ACME server runs. code: directories whose programs it runs from a bind. gateway4 and gateway6
    of a host with several links: where it sends the rest; "" is the network's own gateway, "unreachable" is nowhere.
    on_demand: started only where it is asked for by name, and then left as long as the lab runs.
    """

    name: str
    image: str
    links: tuple[Link, ...]
    hostname: str
    health: tuple[Check, ...]
    command: tuple[str, ...] = ()
    systemd: bool = False
    docker: bool = False
    ssh: bool = False
    trusts: bool = False
    forwards: bool = False
    gateway4: str = ""
    gateway6: str = ""
    capabilities: tuple[str, ...] = ()
    certificates: tuple[Certificate, ...] = ()
    binds: tuple[Bind, ...] = ()
    volumes: tuple[Volume, ...] = ()
    code: tuple[str, ...] = ()
    settings: str = ""
    login: str = ""
    on_demand: bool = False

    @property
    def container(self) -> str:
        return PREFIX + self.name

    def address4(self) -> str:
        return self.links[0].ipv4

    def address6(self) -> str:
        return self.links[0].ipv6


@dataclass(frozen=True)
class Egress:
    """What the router does with connections to port 25 from one network. mode: see EGRESS_MODES."""

    network: str
    family: int
    mode: str


#: open: forwarded; drop: silence, as access providers do; reject: a reset at once; prohibit: ICMP "administratively
#: prohibited", as some clouds answer.
EGRESS_MODES = ("open", "drop", "reject", "prohibit")


@dataclass(frozen=True)
class Controller:
    """The namespace that Ansible runs in: a host of the home network with this machine's file system."""

    namespace: str
    network: str
    ipv4: str
    ipv6: str
    interface: str


def core6(last: str) -> str:
    return f"2001:2:0:1::{last}"


def core(last: int, *extra: int) -> tuple[Link, ...]:
    """The leg of a host on the core network, with further addresses in both families."""
    more = tuple(f"198.18.0.{n}" for n in extra) + tuple(core6(str(n)) for n in extra)
    return (Link("core", f"198.18.0.{last}", core6(str(last)), more),)


NETWORKS: tuple[Network, ...] = (
    Network("core", "ms-core", "198.18.0.0/24", "2001:2:0:1::/64", "198.18.0.254", "2001:2:0:1::fe", "router"),
    Network("cloud", "ms-cloud", "198.18.1.0/24", "2001:2:0:2::/64", "198.18.1.254", "2001:2:0:2::fe", "router"),
    Network("isp", "ms-isp", "198.18.2.0/24", "2001:2:0:3::/64", "198.18.2.254", "2001:2:0:3::fe", "router"),
    Network("lan", "ms-lan", "192.168.77.0/24", "2001:2:0:77::/64", "192.168.77.1", "2001:2:0:77::1", "cpe"),
)

RESOLVER = "198.18.0.10"
RESOLVER6 = core6("10")

#: The addresses of the authoritative servers, by part of the tree. All are one container.
ROOT_SERVER, TLD_SERVER, PROVIDER_A, PROVIDER_B, REVERSE_SERVER = (53, 54, 55, 56, 57)

EGRESS: tuple[Egress, ...] = (
    Egress("isp", 4, "drop"),
    Egress("isp", 6, "drop"),
    Egress("cloud", 4, "open"),
    Egress("cloud", 6, "open"),
    Egress("core", 4, "open"),
    Egress("core", 6, "open"),
)

#: Networks whose packets the router sees with these source prefixes (the home network's IPv6 is not translated).
SOURCES: dict[tuple[str, int], tuple[str, ...]] = {
    ("isp", 4): ("198.18.2.0/24",),
    ("isp", 6): ("2001:2:0:3::/64", "2001:2:0:77::/64"),
    ("cloud", 4): ("198.18.1.0/24",),
    ("cloud", 6): ("2001:2:0:2::/64",),
    ("core", 4): ("198.18.0.0/24",),
    ("core", 6): ("2001:2:0:1::/64",),
}

CONTROLLER = Controller("mailstead-controller", "lan", "192.168.77.5", "2001:2:0:77::5", "ms-ctl0")

#: Email Routing's inbound servers, in the order of their addresses (core .61 to .63).
ROUTING_EXCHANGES = tuple(f"route{n}.mx.cloudflare.net" for n in (1, 2, 3))

#: The edge in front of tunnels: the last part of its addresses, the names connectors know it by, and the zones whose tunnel
#: host names it has certificates for (those at the API twin).
TUNNEL_EDGE_LAST = 70
CONNECTOR_NAMES = ("region1.v2.argotunnel.com", "region2.v2.argotunnel.com")
TUNNEL_ZONES = ("example.com", "example.net", "example.me", "example.cn")
#: The name of the account's team, below cloudflareaccess.com.
TEAM = "mailstead"

#: Tencent Exmail's inbound servers with the last part of their addresses, and that of a server it sends from.
EXMAIL_EXCHANGES, EXMAIL_LAST, EXMAIL_SENDER_LAST = ("mxbiz1.qq.com", "mxbiz2.qq.com"), (35, 36), 37
#: The last part of the address that Postmark sends from.
POSTMARK_LAST = 39
#: The receiver's mailboxes under Exmail's name.
EXMAIL_IMAP = "imap.exmail.qq.com"

#: Providers that applications send through: the name customers connect to, the name it delivers as, the last part of the
#: address of both.
SMARTHOSTS = {
    "cloudflare": ("smtp.mx.cloudflare.net", "out80.cloudflare-email.net", 80),
    "smtp2go": ("mail.smtp2go.com", "a1i81.smtp2go.com", 81),
    "gmail": ("smtp.gmail.com", "mail-lab82.google.com", 82),
}

#: Prints nothing and fails unless every unit that should run does.
BOOTED = CommandCheck(("systemctl", "is-system-running", "--quiet"))

#: The command of a machine that only the kernel works in; as first process it has to ask for its end.
IDLE = ("sh", "-c", "trap 'exit 0' TERM; tail -f /dev/null & wait")

#: What a service's image brings to say whether it works as seen from itself.
SELF_TEST = ("/usr/local/sbin/lab-health",)

HOSTS: tuple[Host, ...] = (
    Host(
        name="router",
        image="base",
        hostname="router.example.org",
        links=(
            Link("core", "198.18.0.253", core6("fd")),
            Link("cloud", "198.18.1.253", "2001:2:0:2::fd"),
            Link("isp", "198.18.2.253", "2001:2:0:3::fd"),
        ),
        command=IDLE,
        forwards=True,
        gateway4="unreachable",
        gateway6="unreachable",
        capabilities=("NET_ADMIN",),
        health=(CommandCheck(("nft", "list", "table", "inet", "mailstead_router")),),
    ),
    Host(
        name="cpe",
        image="base",
        hostname="cpe",
        links=(
            Link("isp", "198.18.2.7", "2001:2:0:3::7"),
            Link("lan", "192.168.77.2", "2001:2:0:77::2"),
        ),
        command=IDLE,
        forwards=True,
        gateway4="198.18.2.254",
        gateway6="2001:2:0:3::fe",
        capabilities=("NET_ADMIN",),
        health=(CommandCheck(("nft", "list", "table", "inet", "mailstead_cpe")),),
    ),
    Host(
        name="dns",
        image="dns",
        hostname="dns.example.org",
        links=core(ROOT_SERVER, TLD_SERVER, PROVIDER_A, PROVIDER_B, REVERSE_SERVER),
        command=("/usr/local/bin/lab-knot",),
        health=(
            DnsCheck("198.18.0.53", ".", "SOA"),
            DnsCheck("198.18.0.54", "com", "SOA"),
            DnsCheck("198.18.0.55", "example.com", "SOA"),
            DnsCheck("198.18.0.56", "example.com", "SOA"),
            DnsCheck("198.18.0.57", "1.18.198.in-addr.arpa", "SOA"),
        ),
    ),
    Host(
        name="resolver",
        image="dns",
        hostname="resolver.example.org",
        links=core(10),
        command=("/usr/local/bin/lab-unbound",),
        health=(
            DnsCheck(RESOLVER, "strict.example.org", "MX", authentic=True),
            DnsCheck(RESOLVER, "30.0.18.198.in-addr.arpa", "PTR", authentic=True),
            DnsCheck(RESOLVER, "example.com", "SOA", authentic=True),
        ),
    ),
    Host(
        name="cloudflare",
        image="twin",
        hostname="cloudflare",
        links=core(20),
        command=("python3", "-m", "lab.twins.cloudflare", "--config", "/lab/config.json"),
        binds=(Bind("lab", "/lab/src/lab"),),
        code=("lab/twins",),
        certificates=(Certificate("cloudflare", ("api.cloudflare.com",)),),
        settings="twin",
        health=(TcpCheck("198.18.0.20", 443),),
    ),
    Host(
        name="acme",
        image="acme",
        hostname="acme",
        links=core(21),
        certificates=(Certificate("acme", ("acme-v02.api.letsencrypt.org",)),),
        health=(CommandCheck(SELF_TEST), TcpCheck("198.18.0.21", 443)),
    ),
    Host(
        name="release",
        image="release",
        hostname="release",
        links=core(22),
        certificates=(
            Certificate("release", ("github.com", "registry-1.docker.io", "auth.docker.io", "packages.example.org")),
        ),
        binds=(
            Bind("build/lab/pool", "/lab/pool"),
            Bind("build/lab/frp", "/lab/frp"),
            Bind("build/lab/cloudflared", "/lab/cloudflared"),
            Bind("build/lab/registry", "/lab/registry", read_only=False),
        ),
        health=(CommandCheck(SELF_TEST), TcpCheck("198.18.0.22", 443), TcpCheck("198.18.0.22", 80)),
    ),
    Host(
        name="receiver",
        image="receiver",
        hostname="mx.strict.example.org",
        links=core(30, 31, 32, 33, 34, EXMAIL_LAST[0], EXMAIL_LAST[1], EXMAIL_SENDER_LAST, 38, POSTMARK_LAST),
        trusts=True,
        certificates=(
            Certificate("mx.strict.example.org", ("mx.strict.example.org", EXMAIL_IMAP)),
            Certificate("gmail-smtp-in.l.google.com", ("gmail-smtp-in.l.google.com",)),
            Certificate("outlook-com.olc.protection.outlook.com", ("outlook-com.olc.protection.outlook.com",)),
            Certificate("mta5.am0.yahoodns.net", ("mta5.am0.yahoodns.net",)),
            Certificate("mx1.qq.com", ("mx1.qq.com",)),
            *(Certificate(name, (name,)) for name in EXMAIL_EXCHANGES),
            Certificate("163mx01.mxmail.netease.com", ("163mx01.mxmail.netease.com",)),
        ),
        # Port 25 cannot be tried from the controller, whose access provider blocks it: the self-test does.
        health=(CommandCheck(SELF_TEST), TcpCheck("198.18.0.30", 993)),
    ),
    Host(
        name="routing",
        image="routing",
        # One of the names that Email Routing's servers connect from; the exchangers' names are on the other addresses.
        hostname="a-h.cloudflare-email.net",
        links=core(60, 61, 62, 63),
        command=("python3", "-m", "lab.email_routing", "--config", "/lab/config.json"),
        binds=(Bind("lab", "/lab/src/lab"), Bind("build/lab/workerd", "/lab/workerd")),
        code=("lab/email_routing", "lab/standin/server"),
        certificates=tuple(Certificate(name, (name,)) for name in ROUTING_EXCHANGES),
        settings="routing",
        health=(CommandCheck(SELF_TEST),),
        on_demand=True,
    ),
    Host(
        name="smarthost",
        image="smarthost",
        hostname="smarthost",
        links=core(*(last for _, _, last in SMARTHOSTS.values())),
        command=("python3", "-m", "lab.smarthost"),
        binds=(Bind("lab", "/lab/src/lab"),),
        code=("lab/smarthost",),
        certificates=tuple(Certificate(host, (host,)) for host, _, _ in SMARTHOSTS.values()),
        health=(CommandCheck(SELF_TEST), *(TcpCheck(f"198.18.0.{last}", 465) for _, _, last in SMARTHOSTS.values())),
        on_demand=True,
    ),
    Host(
        name="tunnel-edge",
        image="tunnel-edge",
        hostname="tunnel-edge",
        links=core(TUNNEL_EDGE_LAST),
        command=("python3", "-m", "lab.tunnel_edge", "--config", "/lab/config.json"),
        binds=(Bind("lab", "/lab/src/lab"),),
        code=("lab/tunnel_edge", "lab/cloudflared/standin"),
        certificates=(
            Certificate(
                "tunnel-edge",
                (
                    *CONNECTOR_NAMES,
                    "*.cloudflareaccess.com",
                    *(name for zone in TUNNEL_ZONES for name in (zone, f"*.{zone}")),
                ),
            ),
        ),
        settings="tunnel-edge",
        health=(TcpCheck("198.18.0.70", 443), TcpCheck("198.18.0.70", 7844)),
        on_demand=True,
    ),
    Host(
        name="stranger",
        image="stranger",
        hostname="mail.stranger.example.org",
        links=core(40),
        ssh=True,
        trusts=True,
        certificates=(Certificate("mail.stranger.example.org", ("mail.stranger.example.org",)),),
        health=(CommandCheck(SELF_TEST), TcpCheck("198.18.0.40", 22)),
        login="an outside sender, and the vantage point that checks are made from",
    ),
    Host(
        name="vps1",
        image="base",
        hostname="vps1",
        links=(Link("cloud", "198.18.1.10", "2001:2:0:2::10"),),
        command=("/usr/local/sbin/lab-init",),
        systemd=True,
        ssh=True,
        trusts=True,
        health=(BOOTED, TcpCheck("198.18.1.10", 22)),
        login="the edge",
    ),
    Host(
        name="home",
        image="home",
        hostname="home",
        links=(Link("lan", "192.168.77.10", "2001:2:0:77::10"),),
        command=("/usr/local/sbin/lab-init",),
        systemd=True,
        docker=True,
        ssh=True,
        trusts=True,
        volumes=(Volume("mailstead-home-docker", "/var/lib/docker"),),
        health=(BOOTED, TcpCheck("192.168.77.10", 22), CommandCheck(("docker", "version"))),
        login="the home server, with its own Docker",
    ),
    Host(
        name="app1",
        image="home",
        hostname="app1",
        links=(Link("cloud", "198.18.1.20", "2001:2:0:2::20"),),
        command=("/usr/local/sbin/lab-init",),
        systemd=True,
        docker=True,
        ssh=True,
        trusts=True,
        volumes=(Volume("mailstead-app1-docker", "/var/lib/docker"),),
        health=(BOOTED, TcpCheck("198.18.1.20", 22), CommandCheck(("docker", "version"))),
        login="an application somewhere else, with Docker",
        on_demand=True,
    ),
    Host(
        name="app2",
        image="base",
        hostname="app2",
        links=(Link("lan", "192.168.77.20", "2001:2:0:77::20"),),
        command=("/usr/local/sbin/lab-init",),
        systemd=True,
        ssh=True,
        trusts=True,
        health=(BOOTED, TcpCheck("192.168.77.20", 22)),
        login="an application on the home network",
        on_demand=True,
    ),
)

#: Machines that have a use for cloudflared: only a lab with one of them builds it.
TUNNELLED = ("tunnel-edge", "app1", "app2")


def host(name: str) -> Host:
    """The host of that name. Raises KeyError."""
    return {h.name: h for h in HOSTS}[name]


def network(name: str) -> Network:
    """The network of that name. Raises KeyError."""
    return {n.name: n for n in NETWORKS}[name]
