# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Codes of the record set's problems; docs/errors.md is made from these."""

from __future__ import annotations

from typing import Dict

CODES: Dict[str, str] = {
    "MS-DNS-001": "A wanted record has data that is not valid for its type. Correct the record; the message says what is wrong.",
    "MS-DNS-002": "Guard outside_zone: a wanted record lies outside of the zone it is listed under. Move it to its zone.",
    "MS-DNS-003": "Guard ns_soa: NS and SOA records belong to the DNS provider and are never written. Take the record out.",
    "MS-DNS-004": "A phase, a time to live or a role is out of range. Phases are listed in the module's documentation.",
    "MS-DNS-005": "The value of a record was not known when it was to be published (a key or certificate that does not exist yet). "
    "Run the earlier steps first.",
    "MS-DNS-006": "The ownership mark cannot be written: the instance or a role is empty, holds a blank, or is too long for a "
    "record comment. Use letters, digits and hyphens, and short names.",
    "MS-DNS-007": "One record is wanted twice with different times to live or phases.",
    "MS-DNS-010": "Guard cname_conflict: a CNAME would share its name with other data (RFC 1034 §3.6.2).",
    "MS-DNS-011": "Guard delegation: the name lies at or below a delegation (NS), where this zone is not asked.",
    "MS-DNS-012": "Guard duplicate_policy: a name would have two SPF, DMARC, MTA-STS or TLS-RPT records; receivers then use none.",
    "MS-DNS-013": "Guard spf_all: an SPF record ends in +all: the whole world may send in the domain's name.",
    "MS-DNS-014": "Guard spf_lookups: an SPF record needs more than ten DNS look-ups, those of its includes counted: receivers "
    "answer permerror (RFC 7208 §4.6.4).",
    "MS-DNS-015": "An SPF record cannot be read. Correct it (RFC 7208 §12).",
    "MS-DNS-016": "Guard dkim_key: a DKIM record holds no key, or one that is too short or damaged.",
    "MS-DNS-017": "Guard txt_size: a TXT record is longer than 2,048 bytes, or those of one name than 8,192.",
    "MS-DNS-018": "Guard proxied_host: a mail host's record is proxied; mail, PTR and TLSA cannot work through an HTTP proxy.",
    "MS-DNS-019": "Guard last_mx: the last MX of a name would go.",
    "MS-DNS-020": "Guard delete_limit: more records would be deleted than max_delete or max_delete_percent allow.",
    "MS-DNS-021": "Guard mx_alias: an MX or SRV points to a name that is a CNAME (RFC 2181 §10.3).",
    "MS-DNS-022": "Guard read_only: a record that the provider keeps for a product of its own (routing of mail, for example) "
    "stands where ours has to go. Turn that product off for the domain first.",
    "MS-DNS-023": "Guard quota: the zone's record quota does not hold all that is wanted.",
    "MS-DNS-024": "Mode zone deletes everything in a zone that is not wanted and has not been confirmed. Repeat the zone's name in "
    "zones[].confirm.",
    "MS-DNS-025": "Guard other_instance: mode zone would delete records that another mailstead instance keeps in the same zone. Only "
    "one of the two can own all of it.",
    "MS-DNS-026": "Guard spf_void: more than two look-ups of an SPF record find nothing: receivers answer permerror (RFC 7208 §4.6.4).",
    "MS-DNS-027": "Guard wildcard_mx: a new record makes a name exist that had its mail by a wildcard MX, and has none without it "
    "(RFC 4592 §2.2.1). Publish an MX for the name with it.",
    "MS-DNS-030": "Somebody else's SPF record is at our name and foreign.spf does not say what to do with it.",
    "MS-DNS-031": "Somebody else's MX is at our name: two owners of MX. Say in foreign.mx what to do.",
    "MS-DNS-032": "Somebody else's DMARC record is at our name. Say in foreign.dmarc what to do.",
    "MS-DNS-033": "Somebody else's CAA record is at our name. Say in foreign.caa what to do.",
    "MS-DNS-034": "Somebody else's record is at our name. Say in foreign.other what to do.",
    "MS-DNS-035": "Records cannot be merged: what is there and what is wanted exclude each other.",
    "MS-DNS-040": "The authoritative servers did not show the published records in time. The message lists what is missing where.",
    "MS-DNS-041": "The name servers of a zone cannot be found or reached from this host.",
    "MS-DNS-060": "The outcome of a write stays unclear after several tries. Run again: the zone is read first.",
    "MS-DNS-061": "A zone is listed for another host than the one it is kept at. Give it to the module for that host.",
    "MS-DNS-080": "The state of a zone cannot be saved before it is changed (no room, no permission), so it is left as it is.",
    "MS-DNS-081": "A saved state of a zone cannot be read: missing, open to others, cut off or edited.",
    "MS-DNS-082": "A saved state lies where that of another zone or time belongs.",
    "MS-DNS-083": "A saved state was written by a newer release.",
    "MS-DNS-084": "The point to go back to does not exist. The message names those that do.",
    "MS-DNS-085": "Nothing has been saved yet of the zones in question, so there is nothing to undo.",
    "MS-DNS-086": "The point to go back to was saved by another instance, whose records are not ours.",
    "MS-DNS-087": "The name under which zones are to be saved is no time in UTC.",
}

#: Guards that ``allow`` may name, with the code each reports.
GUARDS: Dict[str, str] = {
    "outside_zone": "MS-DNS-002",
    "ns_soa": "MS-DNS-003",
    "cname_conflict": "MS-DNS-010",
    "delegation": "MS-DNS-011",
    "duplicate_policy": "MS-DNS-012",
    "spf_all": "MS-DNS-013",
    "spf_lookups": "MS-DNS-014",
    "spf_void": "MS-DNS-026",
    "dkim_key": "MS-DNS-016",
    "txt_size": "MS-DNS-017",
    "proxied_host": "MS-DNS-018",
    "last_mx": "MS-DNS-019",
    "wildcard_mx": "MS-DNS-027",
    "delete_limit": "MS-DNS-020",
    "mx_alias": "MS-DNS-021",
    "read_only": "MS-DNS-022",
    "quota": "MS-DNS-023",
    "other_instance": "MS-DNS-025",
}

#: What a guard that ``allow`` names does instead of refusing. A guard in front of something that nobody can do leaves the
#: wanted record out and says so in a note; the others let it happen.
OVERRIDES: Dict[str, str] = {
    "outside_zone": "the record is left out",
    "ns_soa": "the record is left out",
    "cname_conflict": "ours is published beside the other data; a provider that follows RFC 1034 refuses that",
    "delegation": "the record is published where nobody asks for it",
    "duplicate_policy": "both records stand, receivers use none",
    "spf_all": "the record is published as it is",
    "spf_lookups": "the record is published as it is, receivers answer permerror",
    "spf_void": "the record is published as it is, receivers answer permerror",
    "dkim_key": "the record is published as it is",
    "txt_size": "the record is sent as it is; the provider may refuse it",
    "proxied_host": "the proxy stays in front of the host, of our own records too",
    "last_mx": "the name loses its last MX",
    "wildcard_mx": "the name loses the wildcard's MX",
    "delete_limit": "any number of records is deleted",
    "mx_alias": "the record is published as it is",
    "read_only": "everything at that place stays as it is, the wanted record is left out",
    "quota": "the records are sent; the provider may refuse them",
    "other_instance": "the other instance's records are deleted like everybody else's",
}
