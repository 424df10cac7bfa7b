# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which probes to run where, for a plan. Pure: the same plan, facts and run id always give the same probes.

One call of ``mail_probe`` per host, all hosts at the same time: what one vantage sends, another one waits for.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Dict, List, Mapping, Sequence, Set, Tuple

from ansible_collections.mailstead.stack.plugins.module_utils.checks import ids
from ansible_collections.mailstead.stack.plugins.module_utils.checks.marks import FOREIGN, OWN_ADDRESS, token
from ansible_collections.mailstead.stack.plugins.module_utils.checks.planning_senders import Wanted, of_service
from ansible_collections.mailstead.stack.plugins.module_utils.checks.view import (
    Key,
    View,
    addresses_of,
    bounce_domains,
    domain_of,
    exchangers,
    within,
)
from ansible_collections.mailstead.stack.plugins.module_utils.plan.model import (
    CanaryPlan,
    DomainPlan,
    EdgePlan,
    HostedPlan,
    RoutingPlan,
)

#: Unrelated operators whose live MX tell whether port 25 is open; banner: suffixes of the names they greet with.
#: control: other mail ports of the same networks. All of them have offered STARTTLS for years.
OPERATORS: Tuple[Mapping[str, Any], ...] = (
    {
        "operator": "Google",
        "domain": "gmail.com",
        "banner": ["google.com"],
        "control": [["smtp.gmail.com", 465]],
    },
    {
        "operator": "Microsoft",
        "domain": "outlook.com",
        "banner": ["outlook.com"],
        "control": [["smtp-mail.outlook.com", 587]],
    },
    {
        "operator": "Yahoo",
        "domain": "yahoo.com",
        "banner": ["yahoo.com", "yahoodns.net"],
        "control": [["smtp.mail.yahoo.com", 465]],
    },
    {
        "operator": "Tencent QQ",
        "domain": "qq.com",
        "banner": ["qq.com"],
        "control": [["smtp.qq.com", 465]],
    },
)

FAMILIES = ("ipv4", "ipv6")
CLIENT_PORTS = (465, 993, 443)

#: Open-relay variants: MAIL FROM and RCPT TO; {domain} is ours, {foreign} belongs to nobody who would receive it.
RELAY_VARIANTS: Tuple[Tuple[str, str, str], ...] = (
    ("external", "{me}", "probe@{foreign}"),
    ("null-sender", "", "probe@{foreign}"),
    ("own-domain", "postmaster@{domain}", "probe@{foreign}"),
    ("percent", "{me}", "probe%{foreign}@{domain}"),
    ("quoted", "{me}", '"probe@{foreign}"@{domain}'),
)


@dataclass(frozen=True)
class Options:
    """wait: seconds for a message to arrive. senders: address from which an outside vantage sends, by host.
    claim: the client address that forged PROXY headers pretend."""

    wait: int = 45
    senders: Mapping[str, str] = field(default_factory=dict)
    claim: str = "203.0.113.77"


def probe_plan(view: View, run_id: str, options: Options = Options()) -> Dict[str, List[Dict[str, Any]]]:
    """``{vantage: [{id, kind, args}]}``, sorted by id. run_id: a token that no other run has; letters and digits."""
    planner = _Planner(view, run_id, options)
    planner.controller()
    planner.edges()
    planner.homes()
    planner.outside()
    planner.services()
    return {v: sorted(found, key=lambda p: str(p["id"])) for v, found in planner.probes.items()}


class _Planner:
    def __init__(self, view: View, run_id: str, options: Options) -> None:
        self.view = view
        self.run_id = run_id
        self.options = options
        self.probes: Dict[str, List[Dict[str, Any]]] = {v: [] for v in view.vantages.all()}

    def add(self, vantage: str, name: str, kind: str, /, **args: Any) -> None:
        if all(p["id"] != name for p in self.probes[vantage]):
            self.probes[vantage].append({"id": name, "kind": kind, "args": args})

    # -- controller ------------------------------------------------------------------------------------------------

    def controller(self) -> None:
        here = self.view.vantages.controller
        self.add(here, ids.CLOCK, "clock")
        self.add(here, ids.RESOLVER, "resolver", questions=self.resolver_questions(reports=True))
        for zone in self.view.zones:
            self.add(here, ids.zone(zone), "zone", zone=zone, questions=self.zone_questions(zone))
        for edge in self.view.egress_edges():
            for address in addresses_of(edge):
                self.add(here, ids.reverse(address), "reverse", address=address)
                self.spf(here, edge.mail_name, address, f"postmaster@{edge.mail_name}", edge)
                self.spf(here, edge.relay_name, address, f"postmaster@{edge.relay_name}", edge)
        # Client ports are looked at from outside where there is somebody, else from here: both go through the edge.
        if not self.view.vantages.outside:
            self.client_ports(here)
        for domain in self.view.plan.domains:
            self.domain_on_controller(here, domain)
        for routed in self.view.routed:
            self.routed_mailbox(here, routed)
            if routed.mta_sts != "off":
                host = f"mta-sts.{routed.name}"
                url = f"https://{host}/.well-known/mta-sts.txt"
                self.add(here, ids.policy(routed.name), "https", url=url, addresses=[host])
        for counted in self.view.sent_elsewhere:
            self.add(here, ids.spf_cost(counted.name), "spf_cost", domain=counted.name)
        for hosted in self.view.hosted:
            witness = self.view.witness_in(hosted)
            if witness is not None and self.view.vantages.outside:
                self.witness(here, ids.hosted_mailbox(hosted.name), witness, "hosted", hosted.name)

    def witness(self, here: str, probe: str, canary: CanaryPlan, label: str, domain: str) -> None:
        """The mailbox in which a stranger's message to the domain has to be found."""
        self.add(
            here,
            probe,
            "mailbox",
            imap={"host": canary.imap_host, "username": canary.imap_username, "secret": canary.secret},
            tokens={label: token(self.run_id, label, domain)},
            wait=self.options.wait,
        )

    def to_witness(
        self, vantage: str, probe: str, hosts: Sequence[str], recipient: str, label: str, domain: str
    ) -> None:
        """A stranger's message to an address of the domain, handed to those who take its mail."""
        self.add(
            vantage,
            probe,
            "stranger",
            addresses=list(hosts),
            port=25,
            name=hosts[0],
            sender=self.options.senders.get(vantage, ""),
            recipient=recipient,
            messages=[
                {"label": label, "token": token(self.run_id, label, domain), "subject": label.capitalize()},
            ],
        )

    def routed_mailbox(self, here: str, domain: RoutingPlan) -> None:
        """The witness to whom an address of the domain is forwarded."""
        route = self.view.canary_route(domain)
        if route is None or not self.view.vantages.outside or self.view.awaited(domain, route[1].address):
            return
        self.witness(here, ids.routed_mailbox(domain.name), route[1], "routed", domain.name)

    def routed_mail(self, vantage: str, domain: RoutingPlan) -> None:
        """A stranger's message to an address that is forwarded to a witness."""
        route = self.view.canary_route(domain)
        hosts = [r.content.rsplit(" ", 1)[-1] for r in domain.keeps if r.type == "MX"]
        if route is None or not hosts or self.view.awaited(domain, route[1].address):
            return
        self.to_witness(vantage, ids.routed(domain.name), hosts, route[0], "routed", domain.name)

    def hosted_mail(self, vantage: str, domain: HostedPlan) -> None:
        """What a stranger can try at the provider: a recipient every domain must have, and a message to a witness."""
        hosts = exchangers(domain)
        if not hosts:
            return
        self.add(
            vantage,
            ids.exchanger(domain.name),
            "smtp",
            address=hosts[0],
            port=25,
            name=hosts[0],
            tls="none",
            sender=self.options.senders.get(vantage, ""),
            steps=[
                {"label": "mail", "send": f"MAIL FROM:<{OWN_ADDRESS}>"},
                {"label": "rcpt", "send": f"RCPT TO:<postmaster@{domain.name}>"},
            ],
        )
        witness = self.view.witness_in(domain)
        if witness is not None:
            self.to_witness(vantage, ids.hosted(domain.name), hosts, witness.address, "hosted", domain.name)

    def spf(self, vantage: str, identity: str, address: str, sender: str, edge: EdgePlan) -> None:
        name = ids.spf(identity, address)
        self.add(vantage, name, "spf", domain=identity, address=address, sender=sender, helo=edge.mail_name)

    def domain_on_controller(self, here: str, domain: DomainPlan) -> None:
        egress = self.view.edge(domain.egress)
        account = self.view.account(domain)
        sender = account.address if account else f"postmaster@{domain.name}"
        for address in addresses_of(egress) if egress else ():
            self.spf(here, domain.name, address, sender, egress)  # type: ignore[arg-type]
        doors = self.view.doors(domain)
        if not doors:
            return
        web = [a for e in doors for a in addresses_of(e)]
        if domain.mta_sts != "off":
            url = f"https://mta-sts.{domain.name}/.well-known/mta-sts.txt"
            self.add(here, ids.policy(domain.name), "https", url=url, addresses=web)
        if domain.takes_mail:
            url = f"https://autoconfig.{domain.name}/mail/config-v1.1.xml?emailaddress={sender}"
            self.add(here, ids.autoconfig(domain.name), "https", url=url, addresses=web)
        if account is None:
            return
        own = {"host": doors[0].mail_name, "addresses": web, "username": account.address, "secret": account.secret}
        submission = {**own, "name": doors[0].mail_name, "port": 465}
        for canary in self.view.plan.canaries:
            self.add(
                here,
                ids.canary(domain.name, canary.address),
                "canary",
                submission=submission,
                sender=account.address,
                recipient=canary.address,
                token=token(self.run_id, "c", domain.name + canary.address.replace("@", "at")),
                witness={"host": canary.imap_host, "username": canary.imap_username, "secret": canary.secret},
                own=own,
                wait=self.options.wait,
            )
        self.add(here, ids.forged_sender(domain.name), "smtp", **self.forged_sender(domain, submission))
        if self.view.vantages.outside and domain.takes_mail:
            self.add(
                here,
                ids.mailbox(domain.name),
                "mailbox",
                imap=own,
                tokens={label: token(self.run_id, label, domain.name) for label in ("genuine", "forged")},
                wait_for=["genuine"],
                wait=self.options.wait,
            )

    def forged_sender(self, domain: DomainPlan, submission: Mapping[str, Any]) -> Dict[str, Any]:
        """A logged-in user who pretends to be somebody else of the domain: in the envelope, then in the header."""
        user = str(submission["username"])
        somebody = f"somebody-else@{domain.name}"
        mark = token(self.run_id, "forgedheader", domain.name)
        message = "\r\n".join(
            (
                f"From: <{somebody}>",
                f"To: <{user}>",
                f"Subject: Forged sender {mark}",
                f"Message-ID: <{mark}@{domain.name}>",
                "",
                "This message must have been refused: its From is not the sender's own.",
                "",
            )
        )
        return {
            "address": submission["addresses"][0],
            "port": 465,
            "name": submission["name"],
            "tls": "implicit",
            "auth": {"username": user, "secret": submission["secret"]},
            "steps": [
                {"label": "envelope", "send": f"MAIL FROM:<{somebody}>"},
                {"label": "reset", "send": "RSET"},
                {"label": "mail", "send": f"MAIL FROM:<{user}>"},
                # To the user's own mailbox: whatever the server does, nobody else is bothered.
                {"label": "rcpt", "send": f"RCPT TO:<{user}>"},
                {"label": "header", "message": message, "after": ["mail", "rcpt"]},
            ],
        }

    # -- questions -------------------------------------------------------------------------------------------------

    def zone_questions(self, zone: str) -> List[List[str]]:
        """What is asked of every server of a zone: all planned records and what must not stand beside them."""
        wanted = {(r.name, r.type) for r in self.view.zones[zone] if not r.name.startswith("<")}
        wanted |= {(zone, t) for t in ("SOA", "MX", "TXT", "CAA")}
        wanted |= {(f"*.{zone}", t) for t in ("A", "MX", "TXT", "CNAME")}
        for name, rtype in list(wanted):
            if rtype in ("A", "AAAA"):
                wanted |= {(name, t) for t in ("A", "AAAA", "CNAME", "CAA")}
        for domain in self.view.mail_domains:
            if domain.zone == zone:
                wanted |= {(domain.name, t) for t in ("MX", "TXT", "SOA", "A")}
                wanted.add((f"_dmarc.{domain.name}", "TXT"))
                wanted |= {(key.record, "TXT") for key in self.view.signing(domain.name)}
        wanted |= {(r.name, r.type) for d in self.view.routed if d.zone == zone for r in d.keeps}
        services = [s for s in self.view.submissions if self.view.zone_of(s.server_name) == zone]
        wanted |= {(s.server_name, t) for s in services for t in ("A", "AAAA", "CAA")}
        for hosted in self.view.hosted:
            if hosted.zone == zone:
                wanted |= self.beside(hosted)
        return [list(q) for q in sorted(wanted)]

    def beside(self, domain: HostedPlan) -> Set[Tuple[str, str]]:
        """What must not stand where a hosted domain's records do: an alias, a proxy's addresses, a wildcard."""
        wanted = {(f"_dmarc.{domain.name}", "CNAME"), (f"*.{domain.name}", "MX")}
        aliases = [r.name for r in self.view.asked_for(domain) if r.type == "CNAME"]
        return wanted | {(name, rtype) for name in aliases for rtype in ("A", "AAAA")}

    def resolver_questions(self, reports: bool = False) -> List[List[str]]:
        """What the world's resolvers are asked: whether answers validate, and what external reports need."""
        wanted = {(".", "NS")}
        wanted |= {(zone, "SOA") for zone in self.view.zones}
        for domain in self.view.mail_domains:
            wanted.add((domain.name, "MX"))
            for host in domain.mail_hosts if isinstance(domain, DomainPlan) else ():
                wanted.add((host, "A"))
                if self.view.records(f"_25._tcp.{host}", "TLSA"):
                    wanted.add((f"_25._tcp.{host}", "TLSA"))
            for address in domain.dmarc.rua if reports else ():
                target = domain_of(address)
                wanted.add((target, "MX"))
                if not same_organisation(target, domain.zone):
                    wanted.add((f"{domain.name}._report._dmarc.{target}", "TXT"))
        for service in self.view.submissions if reports else ():
            wanted |= {(domain, "MX") for domain in bounce_domains(service)}
        for hosted in self.view.hosted if reports else ():
            wanted |= {(host, rtype) for host in exchangers(hosted) for rtype in ("A", "AAAA")}
            # The provider's name, not ours: its absence in a cache hides nothing that we publish.
            wanted |= {(key.alias, "TXT") for key in self.view.keys_of_others(hosted) if key.alias}
        return [list(q) for q in sorted(wanted)]

    # -- edge, home ------------------------------------------------------------------------------------------------

    def common(self, vantage: str) -> None:
        self.add(vantage, ids.CLOCK, "clock")
        targets = [a for e in self.view.plan.edges for a in addresses_of(e)]
        self.add(vantage, ids.ADDRESSES, "addresses", targets=targets)
        self.add(vantage, ids.RESOLVER, "resolver", questions=self.resolver_questions())

    def egress(self, vantage: str) -> None:
        operators = [dict(o) for o in OPERATORS]
        for family in FAMILIES:
            self.add(vantage, ids.egress(family), "egress25", family=family, operators=operators)

    def edges(self) -> None:
        for edge in self.view.plan.edges:
            self.common(edge.host)
            self.egress(edge.host)
            self.add(edge.host, ids.TUNNEL_PEERS, "tunnel_peers", port=edge.bind_port)

    def homes(self) -> None:
        for home in self.view.plan.homes:
            self.common(home.host)
            self.egress(home.host)
            for version in (1, 2):
                # Past the tunnel, straight at the server's own address: only the tunnel client may say who called.
                self.add(
                    home.host,
                    ids.forged_proxy("direct", f"v{version}"),
                    "forged_proxy",
                    address=home.server_address,
                    port=25,
                    version=version,
                    claim=self.options.claim,
                )
            for domain in self.view.plan.domains:
                for key in self.keys_at(home.host, domain):
                    self.add(home.host, ids.dkim_file(domain.name, key.selector), "dkim_file", path=key.path)

    def keys_at(self, host: str, domain: DomainPlan) -> List[Key]:
        return [k for k in self.view.keys(domain.name) if k.path and k.home == host]

    # -- services through which applications send ------------------------------------------------------------------

    def services(self) -> None:
        for number, service in enumerate(self.view.submissions):
            for vantage in (service.host, *(c.host for c in service.clients)):
                self.add(vantage, ids.CLOCK, "clock")
            for key in self.view.keys_of_service(service):
                if key.path:
                    self.add(service.host, ids.dkim_file(key.domain, key.selector), "dkim_file", path=key.path)
            for vantage, name, kind, args in of_service(
                Wanted(self.view, service, self.run_id, number, self.options.wait)
            ):
                self.add(vantage, name, kind, **args)

    # -- outside ---------------------------------------------------------------------------------------------------

    def client_ports(self, vantage: str) -> None:
        for edge in self.view.plan.edges:
            for address in addresses_of(edge):
                for port in CLIENT_PORTS:
                    if port in edge.ports:
                        name = ids.tls(address, port)
                        greeting = port != 443
                        self.add(
                            vantage,
                            name,
                            "tls",
                            address=address,
                            port=port,
                            name=edge.mail_name,
                            greeting=greeting,
                            legacy=True,
                        )

    def outside(self) -> None:
        for number, vantage in enumerate(self.view.vantages.outside):
            self.common(vantage)
            self.client_ports(vantage)
            for edge in self.view.plan.edges:
                domains = [d for d in self.view.plan.domains if edge.host in d.edges]
                for address in addresses_of(edge) if domains else ():
                    self.session(vantage, edge, address)
                    self.relays(vantage, edge, address, domains[0])
                    for version in (1, 2):
                        name = ids.forged_proxy(address, f"v{version}")
                        self.add(
                            vantage,
                            name,
                            "forged_proxy",
                            address=address,
                            port=25,
                            version=version,
                            claim=self.options.claim,
                        )
            for domain in self.view.plan.domains:
                self.recipients(vantage, domain)
                self.elsewhere(vantage, domain)
                # One sender is enough for the mailbox; the others would only cost throttle.
                if number == 0:
                    self.stranger(vantage, domain)
            for routed in self.view.routed if number == 0 else ():
                self.routed_mail(vantage, routed)
            for hosted in self.view.hosted if number == 0 else ():
                self.hosted_mail(vantage, hosted)

    def session(self, vantage: str, edge: EdgePlan, address: str) -> None:
        self.add(
            vantage,
            ids.session(address),
            "smtp",
            address=address,
            port=25,
            name=edge.mail_name,
            tls="starttls",
            legacy=True,
            before_tls=[{"label": "auth-plain", "send": "AUTH PLAIN"}],
            steps=[
                {"label": "vrfy", "send": "VRFY postmaster"},
                {"label": "expn", "send": "EXPN postmaster"},
            ],
        )

    def relays(self, vantage: str, edge: EdgePlan, address: str, domain: DomainPlan) -> None:
        for variant, sender, recipient in RELAY_VARIANTS:
            values = {"domain": domain.name, "foreign": FOREIGN, "me": OWN_ADDRESS}
            self.add(
                vantage,
                ids.relay(address, variant),
                "smtp",
                address=address,
                port=25,
                name=edge.mail_name,
                tls="none",
                sender=self.options.senders.get(vantage, ""),
                steps=[
                    {"label": "mail", "send": f"MAIL FROM:<{sender.format(**values)}>"},
                    {"label": "rcpt", "send": f"RCPT TO:<{recipient.format(**values)}>"},
                ],
            )

    def elsewhere(self, vantage: str, domain: DomainPlan) -> None:
        """A stranger's mail to an address that logs in here, and whose mail others take."""
        doors, account = self.view.doors(domain), self.view.account(domain)
        if domain.takes_mail or not doors or account is None:
            return
        self.add(
            vantage,
            ids.elsewhere(domain.name),
            "smtp",
            address=addresses_of(doors[0])[0],
            port=25,
            name=doors[0].mail_name,
            tls="none",
            sender=self.options.senders.get(vantage, ""),
            steps=[
                {"label": "mail", "send": f"MAIL FROM:<{OWN_ADDRESS}>"},
                {"label": "rcpt", "send": f"RCPT TO:<{account.address}>"},
            ],
        )

    def recipients(self, vantage: str, domain: DomainPlan) -> None:
        """Who is accepted on port 25: postmaster, abuse, delivery reports; and that an unknown one is not."""
        inbound = self.view.inbound(domain)
        account = self.view.account(domain)
        if not inbound:
            return
        reports = account.address if account else f"postmaster@{domain.name}"
        steps: Sequence[Tuple[str, str]] = (
            ("null-sender", "MAIL FROM:<>"),
            ("report", f"RCPT TO:<{reports}>"),
            ("reset", "RSET"),
            ("mail", f"MAIL FROM:<{OWN_ADDRESS}>"),
            ("postmaster", f"RCPT TO:<postmaster@{domain.name}>"),
            ("abuse", f"RCPT TO:<abuse@{domain.name}>"),
            # Last: the server waits some seconds before it refuses.
            ("unknown", f"RCPT TO:<no-such-user-{self.run_id}@{domain.name}>"),
        )
        self.add(
            vantage,
            ids.recipients(domain.name),
            "smtp",
            address=addresses_of(inbound[0])[0],
            port=25,
            name=inbound[0].mail_name,
            tls="none",
            sender=self.options.senders.get(vantage, ""),
            steps=[{"label": label, "send": line} for label, line in steps],
        )

    def stranger(self, vantage: str, domain: DomainPlan) -> None:
        inbound = self.view.inbound(domain)
        account = self.view.account(domain)
        if not inbound or account is None:
            return
        self.add(
            vantage,
            ids.stranger(domain.name),
            "stranger",
            addresses=list(addresses_of(inbound[0])),
            port=25,
            name=inbound[0].mail_name,
            sender=self.options.senders.get(vantage, ""),
            recipient=account.address,
            messages=[
                # First what must be refused: when the second one has arrived, the first one would have as well.
                {
                    "label": "forged",
                    "token": token(self.run_id, "forged", domain.name),
                    "header_from": account.address,
                    "subject": "Forged",
                },
                {"label": "genuine", "token": token(self.run_id, "genuine", domain.name), "subject": "Stranger"},
            ],
        )


def same_organisation(name: str, zone: str) -> bool:
    return within(name, zone)
