# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The configuration files of the machine's daemons. Pure: text by path."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from lab.smarthost.config import AUTH_SOCKET, POLICY_PORT, Provider
from lab.smarthost.modes import Mode

MASTER = "/etc/postfix/master.cf"
#: Names of the providers that let nobody in, one a line, as Dovecot's passwd-file has them.
DENIED = "/etc/dovecot/denied"
HOSTNAME = "smarthost.lab.example.org"


def files(providers: Sequence[Provider], modes: Mapping[str, Mode]) -> dict[str, tuple[str, int]]:
    """Content and mode by absolute path."""
    found = {
        "/etc/postfix/main.cf": (main_cf(providers), 0o644),
        MASTER: (master_cf(providers, modes), 0o644),
        "/etc/postfix/returned": (returned(providers), 0o644),
        "/etc/dovecot/dovecot.conf": (dovecot_conf(), 0o644),
        "/etc/dovecot/users": (users(providers), 0o640),
        DENIED: (denied(providers, modes), 0o640),
    }
    return found | {return_path(p): (rewriting(p), 0o644) for p in providers if p.label}


def return_path(provider: Provider) -> str:
    return f"/etc/postfix/return-path-{provider.name}"


def rewriting(provider: Provider) -> str:
    """The envelope sender becomes one of the provider's, below the customer's domain, from which it can be told again."""
    # Postfix rewrites until nothing changes any more.
    label = provider.label
    return f"if !/@{label}\\./\n/^([^@]+)@(.+)$/ bounces+$1@{label}.$2\nendif\n"


def returned(providers: Sequence[Provider]) -> str:
    """Bounces to such a sender are the provider's own business: it counts them and tells nobody."""
    return "".join(f"/@{p.label}\\./ discard:\n" for p in providers if p.label)


def main_cf(providers: Sequence[Provider]) -> str:
    """What all providers have in common. Nothing is changed in a message: signatures have to survive it."""
    own = " ".join(f"[{a}]" if ":" in a else a for p in providers for a in p.addresses)
    return f"""\
compatibility_level = 3.6
myhostname = {HOSTNAME}
mydestination =
mynetworks =
inet_protocols = all
inet_interfaces = {own}
alias_maps =
local_recipient_maps =
local_transport = error:5.1.1 nobody has a mailbox here
biff = no
maillog_file =
message_size_limit = 52428800
mailbox_size_limit = 0
transport_maps = regexp:/etc/postfix/returned
local_header_rewrite_clients =
always_add_missing_headers = no
disable_mime_output_conversion = yes
smtp_line_length_limit = 0
smtputf8_enable = no

smtpd_sasl_type = dovecot
smtpd_sasl_path = {AUTH_SOCKET}
smtpd_sasl_security_options = noanonymous
smtpd_sasl_authenticated_header = no
smtpd_tls_auth_only = yes
smtpd_tls_mandatory_protocols = >=TLSv1.2
smtpd_tls_loglevel = 1
# The sender is judged when it is said, as the providers do.
smtpd_delay_reject = no
smtpd_client_restrictions =
smtpd_helo_restrictions =
smtpd_sender_restrictions = check_policy_service inet:127.0.0.1:{POLICY_PORT}
smtpd_relay_restrictions = permit_sasl_authenticated, reject
smtpd_recipient_restrictions = reject_non_fqdn_recipient, check_policy_service inet:127.0.0.1:{POLICY_PORT}
smtpd_end_of_data_restrictions =
smtpd_policy_service_timeout = 120s
smtpd_client_connection_rate_limit = 0
smtpd_client_connection_count_limit = 0
smtpd_error_sleep_time = 0
smtpd_hard_error_limit = 100

smtp_tls_security_level = may
smtp_tls_loglevel = 1
smtp_address_preference = any
minimal_backoff_time = 15s
maximal_backoff_time = 60s
queue_run_delay = 15s
"""


def master_cf(providers: Sequence[Provider], modes: Mapping[str, Mode]) -> str:
    """The listeners of every provider that is up, and its own way in and out."""
    services = "\n".join(line for p in providers for line in _services(p, modes.get(p.name, Mode()), providers))
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
anvil unix - - n - 1 anvil
scache unix - - n - 1 scache
"""


def _services(provider: Provider, mode: Mode, providers: Sequence[Provider]) -> list[str]:
    lines = [] if mode.mode == "down" else _listeners(provider, _shown(provider, mode, providers))
    lines += [f"cleanup-{provider.name} unix n - n - 0 cleanup", f"    -o syslog_name=postfix/{provider.name}"]
    if provider.label:
        lines += [
            f"    -o sender_canonical_maps=regexp:{return_path(provider)}",
            "    -o sender_canonical_classes=envelope_sender",
        ]
    return [
        *lines,
        f"out-{provider.name} unix - - n - - smtp",
        f"    -o syslog_name=postfix/{provider.name}",
        f"    -o myhostname={provider.sender}",
        f"    -o smtp_helo_name={provider.sender}",
        f"    -o smtp_bind_address={provider.ipv4}",
        f"    -o smtp_bind_address6={provider.ipv6}",
    ]


def _shown(provider: Provider, mode: Mode, providers: Sequence[Provider]) -> Provider:
    """Whose certificate is shown."""
    return next(p for p in providers if p.name != provider.name) if mode.mode == "badcert" else provider


def _listeners(provider: Provider, shown: Provider) -> list[str]:
    lines = []
    for port in provider.ports:
        implicit = port.tls == "implicit"
        for address in provider.addresses:
            lines += [
                f"{_endpoint(address, port.number)} inet n - n - - smtpd",
                f"    -o syslog_name=postfix/{provider.name}",
                f"    -o myhostname={provider.identity}",
                f"    -o {{ smtpd_banner = {provider.banner} }}",
                f"    -o smtpd_tls_wrappermode={'yes' if implicit else 'no'}",
                f"    -o smtpd_tls_security_level={'encrypt' if implicit else 'may'}",
                f"    -o {{ smtpd_tls_chain_files = {shown.key}, {shown.cert} }}",
                "    -o smtpd_sasl_auth_enable=yes",
                # So that one provider's customer is nobody at the other's.
                f"    -o smtpd_sasl_service={provider.name}",
                f"    -o message_size_limit={provider.size}",
                f"    -o smtpd_recipient_limit={provider.recipients}",
                "    -o smtpd_discard_ehlo_keywords=vrfy,etrn,dsn,chunking",
                f"    -o cleanup_service_name=cleanup-{provider.name}",
                f"    -o content_filter=out-{provider.name}:",
            ]
    return lines


def _endpoint(address: str, port: int) -> str:
    return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"


def dovecot_conf() -> str:
    """Only who may log in. The first list lets nobody of a provider in; it is looked at anew when it changes."""
    return """\
protocols =
base_dir = /run/dovecot
syslog_facility = mail
auth_mechanisms = plain login
auth_failure_delay = 0
auth_cache_size = 0
ssl = no
passdb {
  driver = passwd-file
  deny = yes
  args = username_format=%s /etc/dovecot/denied
}
passdb {
  driver = passwd-file
  args = username_format=%s/%u /etc/dovecot/users
}
userdb {
  driver = static
  args = uid=nobody gid=nogroup home=/
}
# Nobody waits for what others got wrong: tests fail to log in all the time.
service anvil {
  unix_listener anvil-auth-penalty {
    mode = 0
  }
}
service auth {
  unix_listener /var/spool/postfix/private/auth {
    mode = 0660
    user = postfix
    group = postfix
  }
}
"""


def users(providers: Sequence[Provider]) -> str:
    return "".join(f"{p.name}/{p.username}:{{PLAIN}}{p.password}\n" for p in providers if p.username)


def denied(providers: Sequence[Provider], modes: Mapping[str, Mode]) -> str:
    return "".join(f"{p.name}:\n" for p in providers if modes.get(p.name, Mode()).mode == "auth")
