# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The configuration files of the receiver's daemons, from /lab/config.json. Pure: text by path."""

from __future__ import annotations

import base64
import hashlib
from typing import Any

Config = dict[str, Any]

#: What the providers say first (recorded shapes; the parts that change from connection to connection are fixed), and
#: the name they give themselves, by their domain; those that serve others' domains, by the name of the exchanger.
PROVIDERS: dict[str, tuple[str, str]] = {
    "gmail.com": ("mx.google.com", "mx.google.com ESMTP d2e1a72fcca58-7ba0428 - gsmtp"),
    "outlook.com": (
        "AM2PEPF0001C70F.mail.protection.outlook.com",
        "AM2PEPF0001C70F.mail.protection.outlook.com Microsoft ESMTP MAIL Service ready [08DDF0C1A2B3C4D5]",
    ),
    "yahoo.com": (
        "mtaproxy513.free.mail.ne1.yahoo.com",
        "mtaproxy513.free.mail.ne1.yahoo.com ESMTP ready",
    ),
    "qq.com": ("newxmmxszb6-1.qq.com", "newxmmxszb6-1.qq.com MX QQ Mail Server"),
    "163.com": ("163.com", "163.com Anti-spam GT for Coremail System (163com[20141201])"),
    "mxbiz1.qq.com": ("newxmesmtplogicsvrsza1.qq.com", "newxmesmtplogicsvrsza1.qq.com MX QQ Mail Server"),
    "mxbiz2.qq.com": ("newxmesmtplogicsvrszb2.qq.com", "newxmesmtplogicsvrszb2.qq.com MX QQ Mail Server"),
}

OPENDKIM_PORT, OPENDMARC_PORT, UNPROVEN_PORT = 8891, 8893, 8895
MILTERS = f"inet:127.0.0.1:{OPENDKIM_PORT}, inet:127.0.0.1:{OPENDMARC_PORT}"

#: How a provider that has a mailbox judges, by its "manners", beside what the receiver itself asks for.
MANNERS: dict[str, list[str]] = {
    # Mail that passes neither SPF nor DKIM is refused, as Gmail does (support.google.com/mail/answer/81126).
    "authenticated": [f"    -o {{ smtpd_milters = {MILTERS}, inet:127.0.0.1:{UNPROVEN_PORT} }}"],
    # Takes what is for its mailboxes and asks no further.
    "lenient": [
        "    -o smtpd_client_restrictions=",
        "    -o smtpd_helo_restrictions=",
        "    -o smtpd_sender_restrictions=",
        "    -o smtpd_recipient_restrictions=reject_unauth_destination,reject_unlisted_recipient",
        "    -o smtpd_milters=",
    ],
    "": [],
}


def files(config: Config) -> dict[str, tuple[str, int]]:
    """Content and mode by absolute path."""
    return {
        "/etc/postfix/main.cf": (main_cf(config), 0o644),
        "/etc/postfix/master.cf": (master_cf(config), 0o644),
        "/etc/postfix/mailboxes": ("".join(f"{a} {_maildir(a)}\n" for a in mailboxes(config)), 0o644),
        "/etc/postfix/aliases": ("".join(f"{a} {m}\n" for a, m in aliases(config).items()), 0o644),
        "/etc/postfix-policyd-spf-python/policyd-spf.conf": (policyd_conf(config), 0o644),
        "/etc/opendkim.conf": (opendkim_conf(config), 0o644),
        "/etc/opendmarc.conf": (opendmarc_conf(config), 0o644),
        "/etc/dovecot/dovecot.conf": (dovecot_conf(config), 0o644),
        "/etc/dovecot/users": (dovecot_users(config), 0o640),
    }


def mailboxes(config: Config) -> list[str]:
    """The receiver's own mailbox, and those at the providers that have one."""
    found = [config["canary"]["address"], *(p["mailbox"] for p in config["providers"] if p.get("mailbox"))]
    # Several exchangers of one provider have the same.
    return list(dict.fromkeys(found))


def aliases(config: Config) -> dict[str, str]:
    """Other addresses of the mailboxes: what every domain must have (RFC 5321 section 4.5.1), and what a provider says."""
    own = {f"{local}@{config['domain']}": config["canary"]["address"] for local in ("postmaster", "abuse")}
    return own | {a: p["mailbox"] for p in config["providers"] for a in p.get("aliases", [])}


def _maildir(address: str) -> str:
    local, domain = address.rsplit("@", 1)
    return f"{domain}/{local}/Maildir/"


def _own_certificate(config: Config) -> dict[str, str]:
    found: dict[str, str] = config["certificates"][config["hostname"]]
    return found


def main_cf(config: Config) -> str:
    """Postfix. The reply codes are permanent: its defaults (450) would let a sender retry for days before it learns."""
    certificate = _own_certificate(config)
    domains = ", ".join(dict.fromkeys(a.rsplit("@", 1)[1] for a in mailboxes(config)))
    return f"""\
compatibility_level = 3.6
myhostname = {config["hostname"]}
mydestination =
inet_interfaces = all
inet_protocols = all
mynetworks = 127.0.0.0/8 [::1]/128
smtpd_banner = $myhostname ESMTP
biff = no
alias_maps =
local_recipient_maps =

virtual_mailbox_domains = {domains}
virtual_mailbox_base = /var/mail/lab
virtual_mailbox_maps = texthash:/etc/postfix/mailboxes
virtual_alias_maps = texthash:/etc/postfix/aliases
virtual_minimum_uid = 5000
virtual_uid_maps = static:5000
virtual_gid_maps = static:5000
virtual_transport = virtual
mailbox_size_limit = 0
virtual_mailbox_limit = 0
message_size_limit = 52428800

smtpd_tls_security_level = may
smtpd_tls_chain_files = {certificate["key"]}, {certificate["cert"]}
smtpd_tls_loglevel = 1
smtpd_tls_received_header = yes

smtpd_helo_required = yes
strict_rfc821_envelopes = yes
disable_vrfy_command = yes
smtpd_client_restrictions = permit_mynetworks,
    reject_unknown_reverse_client_hostname,
    reject_unknown_client_hostname
smtpd_helo_restrictions = permit_mynetworks,
    reject_invalid_helo_hostname,
    reject_non_fqdn_helo_hostname,
    reject_unknown_helo_hostname
smtpd_sender_restrictions = reject_non_fqdn_sender, reject_unknown_sender_domain
smtpd_relay_restrictions = reject_unauth_destination
smtpd_recipient_restrictions = reject_unauth_destination,
    reject_unlisted_recipient,
    check_policy_service unix:private/policyd-spf
policyd-spf_time_limit = 30s
unknown_client_reject_code = 550
unknown_hostname_reject_code = 550
unknown_address_reject_code = 550
# Answers come from the lab's own DNS in milliseconds; a failed look-up is asked again by the sender.
smtpd_error_sleep_time = 0
smtpd_hard_error_limit = 100
smtpd_client_connection_rate_limit = 0

smtpd_milters = {MILTERS}
milter_protocol = 6
milter_default_action = tempfail
"""


def _listeners(config: Config) -> list[str]:
    """One smtpd for each address: a wildcard would answer on the providers' addresses under the receiver's name."""
    lines = []
    for address in (config["ipv4"], config["ipv6"]):
        lines.append(f"{_endpoint(address)} inet n - n - - smtpd")
    for provider in config["providers"]:
        exchange = provider["exchange"]
        known = PROVIDERS.get(exchange) or PROVIDERS.get(provider["domain"])
        name, banner = known or (exchange, f"{exchange} ESMTP")
        for address in (provider["ipv4"], provider["ipv6"]):
            lines += [
                f"{_endpoint(address)} inet n - n - - smtpd",
                f"    -o myhostname={name}",
                f"    -o {{ smtpd_banner = {banner} }}",
                f"    -o {{ smtpd_tls_chain_files = {provider['key']}, {provider['cert']} }}",
            ]
            if provider.get("mailbox"):
                lines += MANNERS[provider.get("manners", "")]
                continue
            lines += [
                # They are there to be knocked at: nothing is ever accepted.
                "    -o smtpd_client_restrictions=",
                "    -o smtpd_helo_restrictions=",
                "    -o smtpd_sender_restrictions=",
                "    -o smtpd_recipient_restrictions=reject",
                "    -o smtpd_milters=",
            ]
    return lines


def _endpoint(address: str) -> str:
    return f"[{address}]:25" if ":" in address else f"{address}:25"


def master_cf(config: Config) -> str:
    """Only what a receiver needs; nothing in a chroot, which would want its own copy of resolv.conf."""
    services = "\n".join(_listeners(config))
    return f"""\
{services}
pickup unix n - n 60 1 pickup
cleanup unix n - n - 0 cleanup
qmgr unix n - n 300 1 qmgr
tlsmgr unix - - n 1000? 1 tlsmgr
rewrite unix - - n - - trivial-rewrite
bounce unix - - n - 0 bounce
defer unix - - n - 0 bounce
trace unix - - n - 0 bounce
verify unix - - n - 1 verify
flush unix n - n 1000? 0 flush
proxymap unix - - n - - proxymap
showq unix n - n - - showq
smtp unix - - n - - smtp
error unix - - n - - error
retry unix - - n - - error
discard unix - - n - - discard
virtual unix - n n - - virtual
anvil unix - - n - 1 anvil
scache unix - - n - 1 scache
policyd-spf unix - n n - 0 spawn user=policyd-spf argv=/usr/bin/policyd-spf
"""


def policyd_conf(config: Config) -> str:
    """SPF: the result as an Authentication-Results header, which opendmarc reads."""
    return f"""\
debugLevel = 1
TestOnly = 1
HELO_reject = Fail
Mail_From_reject = Fail
PermError_reject = True
TempError_Defer = True
Header_Type = AR
Authserv_Id = {config["hostname"]}
skip_addresses = 127.0.0.0/8,::1
"""


def opendkim_conf(config: Config) -> str:
    """DKIM. Linked with libunbound, it asks the root servers by itself unless a server is named."""
    return f"""\
Syslog yes
SyslogSuccess yes
LogResults yes
LogWhy yes
Mode v
Socket inet:{OPENDKIM_PORT}@127.0.0.1
UserID opendkim
PidFile /run/opendkim/opendkim.pid
Nameservers {config["resolver"]["ipv4"]}
AuthservID {config["hostname"]}
AlwaysAddARHeader yes
On-BadSignature accept
On-KeyNotFound accept
On-NoSignature accept
On-DNSError tempfail
DNSTimeout 10
"""


def opendmarc_conf(config: Config) -> str:
    """DMARC: enforces the sender's policy. What is to be quarantined stays in Postfix's queue, on hold."""
    return f"""\
Syslog true
SyslogFacility mail
Socket inet:{OPENDMARC_PORT}@127.0.0.1
UserID opendmarc
PidFile /run/opendmarc/opendmarc.pid
AuthservID {config["hostname"]}
TrustedAuthservIDs {config["hostname"]}
PublicSuffixList /usr/share/publicsuffix/public_suffix_list.dat
RejectFailures true
HoldQuarantinedMessages true
SPFSelfValidate true
RequiredHeaders true
SoftwareHeader false
FailureReports false
"""


def dovecot_conf(config: Config) -> str:
    """IMAP over TLS only; Postfix delivers into the Maildir by itself."""
    certificate = _own_certificate(config)
    listen = ", ".join((config["ipv4"], f"{config['ipv6']}", "127.0.0.1"))
    return f"""\
protocols = imap
listen = {listen}
base_dir = /run/dovecot
syslog_facility = mail
auth_mechanisms = plain login
auth_failure_delay = 0
ssl = required
ssl_min_protocol = TLSv1.2
ssl_cert = <{certificate["cert"]}
ssl_key = <{certificate["key"]}
mail_location = maildir:/var/mail/lab/%d/%n/Maildir
mail_max_userip_connections = 50
first_valid_uid = 5000
namespace inbox {{
  inbox = yes
}}
passdb {{
  driver = passwd-file
  args = /etc/dovecot/users
}}
userdb {{
  driver = static
  args = uid=5000 gid=5000 home=/var/mail/lab/%d/%n
}}
service imap-login {{
  inet_listener imap {{
    port = 0
  }}
  inet_listener imaps {{
    port = 993
    ssl = yes
  }}
}}
"""


def dovecot_users(config: Config) -> str:
    """Every mailbox, under one password. The salt follows from it, so that a restart writes the same file."""
    password = config["canary"]["password"].encode()
    salt = hashlib.sha256(b"mailstead lab" + password).digest()[:8]
    digest = base64.b64encode(hashlib.sha512(password + salt).digest() + salt).decode()
    return "".join(f"{address}:{{SSHA512}}{digest}\n" for address in mailboxes(config))
