# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Several providers on one domain: the one SPF record of them all, what it costs, and which of their records exclude each other.

The rules C1 to C16 are explained in docs/composition.md. Pure: takes profiles and values, gives data.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Dict, Iterable, List, Mapping, Sequence, Set, Tuple

from ansible_collections.mailstead.stack.plugins.module_utils.dns import spf as grammar
from ansible_collections.mailstead.stack.plugins.module_utils.dns import spf_relief
from ansible_collections.mailstead.stack.plugins.module_utils.providers.model import (
    PLACEHOLDER,
    Profile,
    RecordTemplate,
    filled,
)

#: Look-ups and void look-ups of a term, by the term as it stands in the record.
Measured = Mapping[str, Tuple[int, int]]
#: A record as (full name, type, content).
Flat = Tuple[str, str, str]
_UNMEASURED: Measured = {}
_UNKNOWN: Mapping[str, Sequence[str]] = {}

#: Who is meant where no provider is: our own part of the plan.
OURSELVES = "this plan"


@dataclass(frozen=True)
class Party:
    """A provider that has to do with a domain.

    values: what fills the profile's templates, by placeholder (domain, dashes, account, inputs), as pairs. place: where it is
    declared, for messages. authorize: an include that is optional is asked for. takes_mail: it owns the domain's MX.
    """

    profile: Profile
    values: Tuple[Tuple[str, str], ...] = ()
    place: str = ""
    authorize: bool = False
    takes_mail: bool = False

    def fill(self, text: str) -> str:
        """A template with its values; empty where one is missing."""
        done = filled(text, dict(self.values))
        return "" if PLACEHOLDER.search(done) else done

    @property
    def includes(self) -> Tuple[str, ...]:
        """Everything that the provider's mail may be authorised by, as terms; complete ones only."""
        names = [self.fill(name) for name in self.profile.spf.include]
        return tuple(f"include:{name.lower().rstrip('.')}" for name in names if name)

    @property
    def at_apex(self) -> bool:
        """Whether the domain's own record has to hold the includes."""
        spf = self.profile.spf
        return spf.scope == "apex" and bool(spf.include) and (self.authorize or not spf.optional)

    @property
    def hints(self) -> Dict[str, int]:
        """Look-ups of each include by the profile's hint, which is for all of them together: spread evenly."""
        terms = self.includes
        if not terms:
            return {}
        each, more = divmod(max(self.profile.spf.cost_hint, len(terms)), len(terms))
        return {term: each + (1 if number < more else 0) for number, term in enumerate(terms)}


@dataclass(frozen=True)
class Share:
    """What one term costs receivers, in look-ups, and for whom it stands there."""

    term: str
    lookups: int
    who: Tuple[str, ...]


@dataclass(frozen=True)
class Composed:
    """text: the record. shares: its terms, in its order. why: why it ends as it does."""

    text: str
    shares: Tuple[Share, ...]
    why: str

    @property
    def lookups(self) -> int:
        """An estimate, unless every include was measured."""
        return sum(s.lookups for s in self.shares)


@dataclass(frozen=True)
class Clash:
    """Two that exclude each other. rule: its number in docs/composition.md; place: where it was declared."""

    code: str
    rule: str
    place: str
    what: str
    fix: str


def records_of(parties: Sequence[Party], lead: bool = True) -> Tuple[Tuple[Party, RecordTemplate], ...]:
    """What the parties need beside MX, SPF, keys and policies. lead: whether mail programs may be led to any of them.

    Mail programs are led to whoever takes the mail where it has names for them, and to senders only where it has none.
    """
    leads = [p for p in parties if p.takes_mail and p.profile.client_names] or parties
    out: List[Tuple[Party, RecordTemplate]] = []
    for party in parties:
        names = party.profile.client_names if lead and party in leads else ()
        out += [(party, r) for r in party.profile.return_path + party.profile.verification + names]
    return tuple(out)


# -- SPF -------------------------------------------------------------------------------------------------------------


def spf(
    own_terms: Sequence[str],
    parties: Sequence[Party],
    measured: Measured = _UNMEASURED,
    closed: bool = True,
    own: str = OURSELVES,
) -> Composed:
    """The one SPF record of a domain: addresses first, then the cheapest terms, each once, and one "all" (rules C3 and C6).

    own_terms: mechanisms of our own servers, such as ``ip4:192.0.2.1``. measured: by live look-ups; profiles' hints stand in.
    closed: whether nobody sends in the domain's name but own_terms and parties. own: whose own_terms are. The same set in
    any order gives the same record. Raises SpfError for own terms that cannot be read, or are more than mechanisms.
    """
    who: Dict[str, Set[str]] = {}
    costs: Dict[str, int] = {}
    for text in own_terms:
        term = _mechanism(text)
        who.setdefault(term.key, set()).add(own)
        costs[term.key] = max(costs.get(term.key, 0), term.lookups)
    senders = [p for p in parties if p.at_apex]
    for party in senders:
        for text, hint in party.hints.items():
            key = _mechanism(text).key
            who.setdefault(key, set()).add(party.profile.title)
            costs[key] = max(costs.get(key, 0), hint)
    costs.update({key: measured[key][0] for key in costs if key in measured})
    terms = sorted((grammar.parse_term(key) for key in costs), key=lambda t: _rank(t, costs[t.key]))
    end, why = _end(senders, closed)
    shares = tuple(Share(t.key, costs[t.key], tuple(sorted(who[t.key]))) for t in terms)
    return Composed(" ".join(["v=spf1", *(t.key for t in terms), end]), shares, why)


def _mechanism(text: str) -> grammar.Term:
    term = grammar.parse_term(text)
    if term.modifier or term.name == "all" or term.qualifier != "+":
        raise grammar.SpfError(f"{text!r} authorises nobody; the end of the record follows from its senders")
    return term


def _rank(term: grammar.Term, cost: int) -> Tuple[int, int, int, int, str]:
    """Addresses in numerical order; then by look-ups."""
    if term.network is None:
        return (1, cost, 0, 0, term.key)
    return (0, term.network.version, int(term.network.network_address), term.network.prefixlen, term.key)


def _end(senders: Sequence[Party], closed: bool) -> Tuple[str, str]:
    if not closed:
        return "~all", "not every sender is known"
    soft = sorted({p.profile.title for p in senders if p.profile.spf.all != "-all"})
    if soft:
        return "~all", f"asked for by {' and '.join(soft)}"
    return "-all", "every sender is known, and none asks for less"


def known(parties: Sequence[Party]) -> Tuple[spf_relief.Known, ...]:
    """Which term is asked for by whom, each pair once."""
    out: Dict[spf_relief.Known, None] = {}
    for party in parties:
        spf_ = party.profile.spf
        needed = spf_.scope == "apex" and not spf_.optional
        for term in party.includes:
            out[spf_relief.Known(term, party.profile.title, needed, party.takes_mail and party.at_apex)] = None
    return tuple(out)


def loads(
    text: str,
    parties: Sequence[Party],
    measured: Measured = _UNMEASURED,
    addresses: Mapping[str, Sequence[str]] = _UNKNOWN,
) -> List[spf_relief.Load]:
    """The terms of a record with their costs and the senders they stand for; a record merged with another's as well.

    addresses: what an ``a`` or ``mx`` stands for, by term. Raises SpfError.
    """
    record = grammar.parse(text)
    out: List[spf_relief.Load] = []
    for term in [*record.mechanisms, *([record.redirect] if record.redirect else [])]:
        hint = max([p.hints[term.key] for p in parties if term.key in p.hints], default=term.lookups)
        lookups, voids = measured.get(term.text, measured.get(term.key, (hint, 0)))
        out.append(spf_relief.load_of(term.text, lookups, voids, known(parties), addresses.get(term.text, ())))
    return out


def proposals(
    domain: str,
    text: str,
    parties: Sequence[Party],
    measured: Measured = _UNMEASURED,
    addresses: Mapping[str, Sequence[str]] = _UNKNOWN,
) -> Tuple[spf_relief.Proposal, ...]:
    """What to do about a record above ten look-ups or two void ones; nothing for another. Arguments as of :func:`loads`."""
    return spf_relief.proposals(loads(text, parties, measured, addresses), domain)


# -- records that exclude each other -----------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Claim:
    """A record that somebody wants. content: empty where a provider chooses the value itself."""

    name: str
    type: str
    content: str
    owner: str
    place: str


def clashes(domain: str, parties: Sequence[Party], own: Iterable[Flat] = ()) -> Tuple[Clash, ...]:
    """What the parties of a domain, and our own records of it, cannot have together (rules C1, C3, C6, C7 and C8).

    own: records of ours, those made from the profiles left out; names in full. What a party lacks an input for is passed over.
    """
    ours = [_Claim(name.lower(), kind, content, OURSELVES, domain) for name, kind, content in own]
    claims = [*ours, *(c for party in parties for c in _keys(domain, party))]
    claims += [c for party, record in records_of(parties) for c in _filled(domain, party, record)]
    out = [*_exchangers(domain, parties, ours), *_dmarc(domain, parties, ours), *_too_strict(domain, parties, ours)]
    names: Dict[str, List[_Claim]] = {}
    for claim in claims:
        names.setdefault(claim.name, []).append(claim)
    for name in sorted(names):
        out += _at_name(domain, name, names[name])
    return tuple(dict.fromkeys(out))


def _keys(domain: str, party: Party) -> List[_Claim]:
    found: List[_Claim] = []
    for key in party.profile.dkim:
        selector, value = party.fill(key.selector), party.fill(key.value)
        if selector and (value or key.kind == "managed"):
            kind = "CNAME" if key.kind == "cname" else "TXT"
            name = f"{selector}._domainkey.{domain}".lower()
            found.append(_Claim(name, kind, value, party.profile.title, party.place))
    return found


def _filled(domain: str, party: Party, record: RecordTemplate) -> List[_Claim]:
    """Nothing where an input is missing."""
    label, value = party.fill(record.name), party.fill(record.value)
    if not value or (record.name and not label):
        return []
    name = f"{label}.{domain}".lower() if label else domain
    return [_Claim(name, record.type, value, party.profile.title, party.place)]


def _exchangers(domain: str, parties: Sequence[Party], ours: Sequence[_Claim]) -> List[Clash]:
    """C1: one owner of the domain's MX."""
    owners = {p.profile.title: p.place for p in parties if p.takes_mail}
    if any(c.name == domain and c.type == "MX" for c in ours):
        owners[OURSELVES] = domain
    if len(owners) < 2:
        return []
    names = sorted(owners)
    what = f"{' and '.join(names)} would both take the mail of {domain}, and each refuses what is meant for the other"
    fix = "let one of them take the mail; give the other a domain below this one"
    return [Clash("MS-PRO-020", "C1", _place(owners[names[-1]], domain), what, fix)]


def _dmarc(domain: str, parties: Sequence[Party], ours: Sequence[_Claim]) -> List[Clash]:
    """C8: one owner of ``_dmarc``. A policy of ours stands in place of whatever providers ask for; without one, one may."""
    name = f"_dmarc.{domain}"
    owners = {p.profile.title: p for p in parties if p.profile.dmarc.owns_record or p.profile.dmarc.cname}
    if len(owners) < 2 or any(c.name == name for c in ours):
        return []
    titles = sorted(owners)
    what = f"{name} can have one record, and {' and '.join(titles)} each keep one of their own there"
    fix = "let one of them keep it, and switch it off at the others"
    return [Clash("MS-PRO-023", "C8", _place(owners[titles[-1]].place, domain), what, fix)]


def _too_strict(domain: str, parties: Sequence[Party], ours: Sequence[_Claim]) -> List[Clash]:
    """C6: a record of ours that refuses what a declared sender sends."""
    out: List[Clash] = []
    for claim in (c for c in ours if c.name == domain and c.type == "TXT" and grammar.is_spf(c.content)):
        record = grammar.parse(claim.content)
        if record.all is None or record.all.qualifier != "-":
            continue
        listed = {t.key for t in record.mechanisms}
        for party in (p for p in parties if p.at_apex):
            missing = [term for term in party.includes if term not in listed]
            if not missing and party.profile.spf.all == "-all":
                continue
            lacks = f"lacks {' '.join(missing)}" if missing else f"{party.profile.title} asks for ~all"
            what = f"the SPF record of {domain} ends in -all and {lacks}: mail through {party.profile.title} may be refused"
            fix = f"end it in ~all{', and add ' + ' '.join(missing) if missing else ''}"
            out.append(Clash("MS-PRO-021", "C6", _place(party.place, domain), what, fix))
    return out


def _at_name(domain: str, name: str, claims: Sequence[_Claim]) -> List[Clash]:
    """What cannot stand together at one name. The domain's own MX and ``_dmarc`` have been looked at."""
    if len({c.owner for c in claims}) < 2:
        return []
    place = _place(claims[-1].place, domain)
    who = " and ".join(sorted({c.owner for c in claims}))
    if f"._domainkey.{domain}" in name:
        if len({(c.type, _bare(c.content)) for c in claims}) > 1 or not all(c.content for c in claims):
            what = f"{who} want different keys at {name}"
            fix = "give one of them another selector at its provider, or leave one out"
            return [Clash("MS-PRO-022", "C7", place, what, fix)]
        return []
    different = {(c.type, _bare(c.content)) for c in claims}
    if name == f"_dmarc.{domain}" and len(different) > 1:
        return [Clash("MS-PRO-023", "C8", place, f"{who} want different records at {name}", "keep one of them")]
    if any(c.type == "CNAME" for c in claims) and len(different) > 1:
        what = f"{who} want different records at {name}, and beside a CNAME nothing else may stand (RFC 1034 §3.6.2)"
        return [Clash("MS-PRO-024", "C8", place, what, _another(claims))]
    if name != domain and len({frozenset(_of(c.owner, claims, "MX")) for c in claims if c.type == "MX"}) > 1:
        return [Clash("MS-PRO-024", "C1", place, f"{who} would both take the mail of {name}", _another(claims))]
    if len({_bare(c.content) for c in claims if c.type == "TXT" and grammar.is_spf(c.content)}) > 1:
        what = f"{who} want an SPF record each at {name}; receivers then use none"
        return [Clash("MS-PRO-024", "C3", place, what, _another(claims))]
    return []


def _of(owner: str, claims: Sequence[_Claim], kind: str) -> Set[str]:
    return {_bare(c.content) for c in claims if c.owner == owner and c.type == kind}


def _another(claims: Sequence[_Claim]) -> str:
    movable = sorted({c.owner for c in claims} - {OURSELVES})
    return f"choose another name at {' or '.join(movable)}, as can be done for return paths, or leave one of them out"


def _bare(content: str) -> str:
    """A value without what does not matter: blanks, and for host names their case and final dot."""
    packed = "".join(content.split())
    return packed if "=" in packed else packed.lower().rstrip(".")


def _place(place: str, domain: str) -> str:
    return place or domain
