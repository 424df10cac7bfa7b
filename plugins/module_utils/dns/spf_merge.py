# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Several SPF records made one, without losing a mechanism, and our terms taken out again."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Callable, Dict, List, Sequence, Tuple

from ansible_collections.mailstead.stack.plugins.module_utils.dns.spf import Spf, Term, parse, parse_term

#: From lax to strict; the merge of two "all" is the laxer one, so that nothing that passes today is refused.
_LAX = "+?~-"


@dataclass(frozen=True)
class Merged:
    """text: the merged record; added: keys of our terms that the other record did not have."""

    text: str
    added: Tuple[str, ...]


def merge(ours: str, theirs: Sequence[str]) -> Merged:
    """One record that authorises whatever either of the records does.

    Our missing mechanisms come first (cheap and never behind a "-" of theirs; those of ours that refuse come last), then
    theirs in their order and spelling, then the laxest "all". A record of theirs that needs nothing more is returned
    unchanged. A "redirect" stays when it is the only record's; beside an "all" of another record it becomes an include, as
    it would have no effect there. What stood behind an "all" and so meant nothing stays behind it. Raises SpfError.
    """
    mine, others = parse(ours), [parse(t) for t in theirs]
    redirects = {t.key: t for spf in [mine, *others] for t in [spf.redirect] if t is not None}
    keep_redirect = len(others) == 1 and others[0].redirect is not None and len(redirects) == 1
    kept: List[Term] = []
    for spf in others:
        kept += spf.mechanisms
        if spf.redirect is not None and not keep_redirect:
            kept.append(_include(spf.redirect))
    known = {t.key for t in kept}
    added = [t for t in _unique(mine.mechanisms) if t.key not in known]
    if len(others) == 1 and not added and _covers(mine, others[0]):
        return Merged(theirs[0], ())
    if mine.redirect is not None and not keep_redirect and _include(mine.redirect).key not in known:
        added.append(_include(mine.redirect))
    live = _unique([*(t for t in added if t.qualifier == "+"), *kept, *(t for t in added if t.qualifier != "+")])
    if keep_redirect:
        tail = [*_modifiers(others), *redirects.values()]
    else:
        tail = [_laxest(mine, others), *(t for spf in others for t in spf.dead), *_modifiers(others)]
    merged = Spf((*live, *tail))
    return Merged(str(merged), tuple(t.key for t in added))


def _unique(terms: Sequence[Term]) -> List[Term]:
    seen: Dict[str, Term] = {}
    for term in terms:
        seen.setdefault(term.key, term)
    return list(seen.values())


def _modifiers(others: Sequence[Spf]) -> List[Term]:
    """Theirs; of explanations the first, as a record may have one. A redirect is dealt with apart."""
    found = _unique([t for spf in others for t in spf.terms if t.modifier and t.name != "redirect"])
    explained = next((t for t in found if t.name == "exp"), None)
    return [t for t in found if t.name != "exp" or t is explained]


def _covers(mine: Spf, theirs: Spf) -> bool:
    """Whether nothing of ours is missing, given that all mechanisms of ours are there."""
    if mine.redirect is None:
        return True
    live = {t.key for t in theirs.mechanisms} | ({theirs.redirect.key} if theirs.redirect else set())
    return bool({mine.redirect.key, _include(mine.redirect).key} & live)


def _include(redirect: Term) -> Term:
    return parse_term(f"include:{redirect.value}")


def _laxest(mine: Spf, others: Sequence[Spf]) -> Term:
    alls = [spf.all for spf in others if spf.all is not None]
    # A record of theirs without "all" and without "redirect" ends in neutral (RFC 7208 §4.7).
    if any(spf.all is None and spf.redirect is None for spf in others):
        alls.append(parse_term("?all"))
    if mine.all is not None:
        alls.append(mine.all)
    return min(alls or [parse_term("~all")], key=lambda t: _LAX.index(t.qualifier))


def without(text: str, hashes: Sequence[str], hash_of: Callable[[str], str]) -> str:
    """The record without those of its mechanisms whose keys hash to one of hashes. Raises SpfError.

    A twin behind the "all" was never ours: it stays.
    """
    spf = parse(text)
    end = spf.terms.index(spf.all) if spf.all else len(spf.terms)
    gone = {i for i, t in enumerate(spf.terms[:end]) if not t.modifier and hash_of(t.key) in set(hashes)}
    return str(Spf(tuple(t for i, t in enumerate(spf.terms) if i not in gone)))
