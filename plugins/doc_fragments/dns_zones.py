# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Documentation of what the modules that keep zones have in common; the arguments are in module_utils/dns/arguments.py."""

from __future__ import annotations


class ModuleDocFragment:
    """Zones, records, ownership, guards, stages, waiting."""

    #: The option ``zones`` alone: also for a module that only compares.
    ZONES = r"""
options:
  zones:
    description: The zones and all the records wanted in them, those of later phases included.
    type: list
    elements: dict
    required: true
    suboptions:
      name:
        description: Name of the zone.
        type: str
        required: true
      id:
        description: Id of the zone, where its host has such. Saves the look-up.
        type: str
      provider:
        description: Present in a plan's zones. A zone of another host is refused.
        type: str
      confirm:
        description:
          - "The zone's name once more: confirms that all of the zone may be taken away. Required by O(mode=zone)."
        type: str
      records:
        description: The wanted records.
        type: list
        elements: dict
        default: []
        suboptions:
          zone:
            description: Present in a plan's records; must be the name of the zone they are listed under.
            type: str
          name:
            description: Fully qualified name.
            type: str
            required: true
          type:
            description: Type of the record, for example V(MX).
            type: str
            required: true
          content:
            description:
              - The data as in a zone file, host names absolute, for example V(10 mail.example.com),
                V(0 1 465 mail.example.com) or V(0 issue "letsencrypt.org").
              - For TXT the text itself, without quotation marks and undivided.
            type: str
            required: true
          ttl:
            description: Time to live in seconds; V(1) is automatic, which is 300.
            type: int
            default: 3600
          phase:
            description: The phase in which the record is published.
            type: str
            choices: [address, identity, keys, policy, certificate, delivery]
            default: delivery
          role:
            description: What the record is for; becomes part of its mark.
            type: str
            required: true
          reason:
            description: Why the record is wanted; shown in the difference.
            type: str
            default: ""
          deferred:
            description:
              - Present in a plan's records whose value is not known yet. Such a record is passed over in earlier phases and
                a mistake in its own.
            type: dict
      foreign:
        description:
          - What to do with somebody else's records where ours have to go.
          - V(merge) makes one SPF record with every mechanism of both and shows the number of look-ups; adds our report
            addresses to their DMARC record, whose policy stands; and lets both stand side by side for the others.
          - V(adopt) puts our mark on a record that says what we want, and brings one that differs in line. Deletes nothing.
          - V(replace) brings those that differ in line and deletes the surplus.
          - V(fail) names them and writes nothing.
        type: dict
        default: {}
        suboptions:
          spf:
            description: SPF records.
            type: str
            choices: [merge, adopt, replace, fail]
            default: merge
          mx:
            description: MX records.
            type: str
            choices: [merge, adopt, replace, fail]
            default: fail
          dmarc:
            description: DMARC records.
            type: str
            choices: [merge, adopt, replace, fail]
            default: fail
          caa:
            description: CAA records.
            type: str
            choices: [merge, adopt, replace, fail]
            default: merge
          other:
            description: All other records.
            type: str
            choices: [merge, adopt, replace, fail]
            default: fail
"""

    DOCUMENTATION = r"""
options:
  through_phase:
    description:
      - Publish the records of the phases up to this one. Those of later phases are neither created nor deleted, and records
        that are no longer wanted are deleted in the last phase only.
    type: str
    choices: [address, identity, keys, policy, certificate, delivery]
    default: delivery
  stages:
    description:
      - Phases after which to stop, on the way to O(through_phase). The records through each of them are written in all zones
        and must be shown by every name server before the next are written; V(keys), for example, publishes MX records only
        when the whole world can see the keys.
      - All stages are judged before the first one is written, and the zones are read only once.
    type: list
    elements: str
    choices: [address, identity, keys, policy, certificate, delivery]
    default: []
  mode:
    description: What is ours.
    type: str
    choices:
      create_only: Nothing. Missing records are added, and nothing is ever changed or deleted.
      owned: Records that carry our mark. They are kept in line with what is wanted.
      names: Every record of a wanted record's name and type, whoever made it. As if O(zones[].foreign) were V(replace)
        throughout.
      zone: Every record of the zone, and those that are not wanted are deleted in the last phase. Not touched are the zone's
        SOA and NS, delegations and records that the host keeps itself. Records of another O(instance) are refused. Each zone
        has to be confirmed by name in O(zones[].confirm).
    default: owned
  instance:
    description: Name of this installation in the mark. Two installations that share a zone need different ones.
    type: str
    default: mailstead
  max_delete:
    description: Most records of one zone that a run may delete. A deletion beside something new at the same name does not count.
    type: int
    default: 20
  max_delete_percent:
    description: Largest share of our records in a zone that a run may delete, in percent; looked at from ten records on.
    type: int
    default: 30
  dkim_min_rsa_bits:
    description: Least size of a published RSA key.
    type: int
    default: 2048
  allow:
    description: Guards to override, by name. After each is said what happens then.
    type: list
    elements: str
    choices:
      outside_zone: A name outside of the zone. The record is left out, with a warning.
      ns_soa: A record of the zone's own NS and SOA. It is left out, with a warning.
      cname_conflict: A CNAME beside other data. Both are sent, and the host may refuse them.
      delegation: A name at or below a delegation. It is published where nobody asks for it.
      duplicate_policy: Two SPF, DMARC, MTA-STS or TLS-RPT records at a name. Both stand, and receivers use none.
      spf_all: An SPF record that ends in C(+all). It is published as it is.
      spf_lookups: An SPF record that costs receivers more than ten look-ups, those inside its includes counted. It is published
        as it is.
      spf_void: An SPF record that leads to more than two names without an answer. It is published as it is.
      dkim_key: A DKIM record without a good key. It is published as it is.
      txt_size: A text that is too long. It is sent as it is, and the host may refuse it.
      proxied_host: A mail host behind an HTTP proxy. The proxy stays.
      last_mx: A name loses its last MX. It goes.
      wildcard_mx: A name that the wildcard's MX stands for no longer, and that has none of its own. It loses its mail.
      delete_limit: More deletions than O(max_delete) and O(max_delete_percent) allow. They happen.
      mx_alias: An MX or SRV that points to a CNAME. It is published as it is.
      read_only: A record that the host keeps itself, as Email Routing does, in the place of ours. Ours is left out, with a
        warning.
      quota: More records than the plan holds. They are sent, and the host may refuse them.
      other_instance: Records of another O(instance) with O(mode=zone). They are deleted like everybody else's.
    default: []
  spf_senders:
    description:
      - Who asks for which include, for the advice about an SPF record that costs receivers too much. The filter
        P(mailstead.stack.spf_senders#filter) makes it of the profiles of providers.
    type: list
    elements: dict
    default: []
    suboptions:
      include:
        description: The name to include.
        type: str
        required: true
      who:
        description: The sender.
        type: str
        required: true
      needed:
        description: Whether its mail needs the include at the domain itself, and not at a name below it or nowhere.
        type: bool
        default: true
      stays:
        description: Whether it sends the domain's own mail on, so that it cannot send from a name below.
        type: bool
        default: false
  snapshots:
    description:
      - Directory in which to save every zone as it was before it is changed, one subdirectory per zone, as JSON and as a zone
        file. C(playbooks/dns_undo.yml) goes back to them.
      - A zone that cannot be saved is not changed.
    type: path
  snapshots_point:
    description:
      - Name under which to save, a time in UTC like V(20261121T143000Z). Tasks of one run that are given the same name make
        one point, to which the whole run can be undone.
      - A name of its own when left out. Points are in the order in which they were saved; a name that would come before
        another point, because the clock was set back, gives way to a later one.
    type: str
  undo:
    description:
      - A point saved in O(snapshots), as M(mailstead.stack.dns_history) lists them, to which our records go back in all
        O(zones). Those that were ours then come back, those that are newer go.
      - Records of others that we had taken since come back without our mark; what others changed since stays. What cannot
        come back, because somebody else's record has its place now, is said in a warning.
      - O(zones[].records), O(zones[].foreign), O(through_phase), O(stages) and O(mode) do not matter then. All guards do.
      - Saves a point itself, so that it can be undone, too.
    type: str
  wait_authoritative:
    description:
      - Afterwards wait until every name server of the zones shows the published records, asked directly over IPv4 and IPv6 as
        far as they can be reached from here. Not in check mode.
    type: bool
    default: false
  wait_deadline:
    description: How long to wait each time, in seconds.
    type: int
    default: 120
  wait_roles:
    description: Wait for the records of these roles only. Between O(stages) all are waited for.
    type: list
    elements: str
    default: []
requirements:
  - dnspython, with O(wait_authoritative=true) or O(stages), and to count the look-ups inside the includes of SPF records
"""
