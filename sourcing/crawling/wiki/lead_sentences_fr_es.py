"""How French and Spanish encyclopedias open an article about music; what is not plainly a known shape is None."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cached_property, partial

from sourcing.crawling.parsing.sentences import first_sentences, sentence_ends
from sourcing.crawling.wiki.lead_sentences_zh_de import Reading

__all__ = ["french", "spanish"]
_OWNED = re.compile(r"(?:chanson|single|album|EP|canción|sencillo|álbum)(?P<follows>\s(?:de|du|des|del|d['’]).*)")
#: What makes a group one of something else than music.
_NO_BAND = (
    r"\s+(?:français |francés |español |international |internacional )?(?:d['’]|de |del? l[ao]s? )?(?:industri|ethni"
    "|étni|presse|prensa|média|medios|banc|automobil|hôtel|hotel|société|soci|entreprise|empresa|parlement|terrorist|politi"
    r"|arm(?:ée?|ad[oa])\b|financ|pétrol|religi|énerg|energ|alimenta|distribution|communication|comunicac|teatr|théât|danse|danza"
    r"|recherche|investiga|criminal|delictiv|sangu|algèbre|matem|mathém|montagn|îles?\b|islas|personnes|personas|sonora)"
)
_PARTICLES = frozenset(("de", "la", "le", "du", "del", "van", "von", "the", "y", "los"))


@dataclass(frozen=True)
class _Words:
    """A language's words, each a pattern."""

    be: str
    kinds: tuple[tuple[str, str], ...]
    roles: str
    of: str  # before a role: "de la", "du"
    plain_of: str  # before a name without a role
    sung: str
    written: str
    out: str  # "sorti", "publicada"
    others: str  # what has years of its own
    no_names: str
    together: str
    subjects: tuple[tuple[str, str], ...]

    @cached_property
    def head(self) -> re.Pattern[str]:
        nouns = "|".join(f"(?P<{kind}>{words})" for kind, words in self.kinds)
        one_of = r"(?:une? des|une? de ces|un[oa] de l[oa]s)\s+"  # else a noun behind "de" is another's: "festival de"
        words = rf"(?:{one_of})?(?:(?!(?:de|du|des|del|en|sur|sobre|para|pour)\s|d['’])[\w°ª’'-]+\s+){{0,3}}?"
        return re.compile(rf"\s(?:{self.be})\s+{words}(?:{nouns})(?=[\s,.]|$)")

    @cached_property
    def by(self) -> re.Pattern[str]:
        return re.compile(rf"\b(?:{self.sung})\s+(?:\w+\s+)?(?:par|por)\s+(?P<who>[^;]*)")

    @cached_property
    def who(self) -> re.Pattern[str]:
        """ "de la chanteuse française A": a role and small words before the name."""
        return re.compile(
            rf"(?:{self.of})\s*(?:[a-zà-ÿ-]+\s+)?(?:{self.roles})(?P<what>(?:\s+[a-zà-ÿ’'/-]+)*)\s+(?=[^\sa-zà-ÿ])"
        )

    @cached_property
    def year(self) -> re.Pattern[str]:
        return re.compile(rf"(?P<before>.*?)\b(?:{self.out})\b[^.;]{{0,50}}?\b(?P<year>1[89]\d\d|20\d\d)\b", re.DOTALL)


_FRENCH = _Words(
    be="est|était|sont|sera",
    kinds=(
        ("recording", "chanson|chansons|single|morceau|instrumental|ballade|titre|tube|simple"),
        ("release", "album|EP|mixtape|bande originale|compilation|maxi"),
        ("artist", rf"chanteuse|chanteur|groupe(?!{_NO_BAND})|rappeur|rappeuse|musicien(?:ne)?|duo|trio"
         "|(?:boy|girl)s? band|auteure?-composit(?:eur|rice)(?:-interprète)?|pianiste|guitariste|composit(?:eur|rice)"),
    ),
    roles="chanteuses?|chanteurs?|groupes?|rappeu(?:rs?|ses?)|musicien(?:ne)?s?|duos?|trios?|pianistes?|DJs?|artistes?"
    "|auteure?s?-composit(?:eur|rice)s?(?:-interprètes?)?|boys? band|girls? band|producteurs?",
    of="de la|de l['’]|du|des|d['’]une?|le|la|l['’]|les",
    plain_of="de|d['’]|des|par",
    sung="interprétée?s?|chantée?s?|enregistrée?s?",
    written="écrite?s?|composée?s?",
    out="sortie?s?|parue?s?|publiée?s?",
    others="albums?|film|EP|comédie|série|jeu|roman|reprise|bande|tournée",
    no_names="Noël|Disney|Pâques|Eurovision",
    together=r"\s+(?:et|avec|feat\.|featuring)\s+",
    subjects=(("recording", "Elle|Il|La chanson|Le single|Le morceau|Le titre"), ("release", "Il|L['’]album|L['’]EP")),
)  # fmt: skip
_SPANISH = _Words(
    be="es|fue|era|son",
    kinds=(
        ("recording", "canción|canciones|sencillo|tema|instrumental|balada"),
        ("release", r"álbum|EP|mixtape|banda sonora|recopilatorio|disco(?!\s+duro)"),
        ("artist", rf"cantante|cantautora?|(?:grupo|banda)(?!{_NO_BAND})|raper[oa]|músic[oa]|dúo|trío|pianista"
         "|guitarrista|compositora?"),
    ),
    roles="cantantes?|cantautora?s?|grupos?|bandas?|raper[oa]s?|músic[oa]s?|dúos?|tríos?|pianistas?|DJs?|artistas?"
    "|compositora?s?|productora?s?",
    of="de la|del|de los|de las|de|el|la|los|las",
    plain_of="de|por",
    sung="interpretad[oa]s?|cantad[oa]s?|grabad[oa]s?",
    written="escrit[oa]s?|compuest[oa]s?",
    out="lanzad[oa]s?|publicad[oa]s?|editad[oa]s?",
    others="álbum|película|EP|musical|serie|videojuego|novela|versión|gira|disco|banda sonora",
    no_names="Navidad|Disney|Eurovisión",
    together=r"\s+(?:y|e|con|junto a|feat\.|featuring)\s+",
    subjects=(("recording", "Fue|La canción fue|El sencillo fue"), ("release", "Fue|El álbum fue|El disco fue")),
)  # fmt: skip


def _read(words: _Words, text: str, qualifier: str | None = None) -> Reading:
    paragraph = re.sub(r"\s*\([^()]*\)", "", first_sentences(text) or "")
    ends = [0, *sentence_ends(paragraph)]
    first, *later = [paragraph[a:b].strip() for a, b in zip(ends, [*ends[1:], len(paragraph)], strict=True)]
    head = words.head.search(f" {first}")
    if head is None:
        return "page", None, None
    kind, follows = str(head.lastgroup), f" {first}"[head.end() :].rstrip(".")
    if kind == "artist":
        return kind, None, None
    subject = dict(words.subjects)[kind]
    sentences_of_it = [follows, *(sentence for sentence in later if re.match(rf"(?:{subject})\s", sentence))]
    years = (words.year.match(sentence) for sentence in sentences_of_it)
    sure = (int(year["year"]) for year in years if year and not re.search(rf"\b(?:{words.others})\b", year["before"]))
    artist = _performer(words, follows)
    if artist is None and (bracket := _OWNED.match(qualifier or "")):
        artist = _performer(words, bracket["follows"])
    return kind, artist, next(sure, None)


def _performer(words: _Words, follows: str) -> str | None:
    """Performer by "sung by", else by the possessive: "interprétée par A", "de la chanteuse A", "de A"; writers are
    not performers.
    """
    if by := words.by.search(follows):
        return _names(words, by["who"])
    if re.match(rf"[\s,]*(?:{words.written})\b", follows):
        return None
    follows = re.sub(
        r"^\s+(?:studio|live|debut|solo|de estudio|en (?:vivo|directo|public)|recopilatorio|de grandes éxitos|de rock"
        r"|pop|rock|R&B)(?=\s)",
        "",
        follows,
    )
    if words.who.match(follows.lstrip()):
        return _names(words, follows)
    plain = re.match(rf"\s+(?:{words.plain_of})\s*(?=[^\sa-zà-ÿ\d])(?P<who>.*)", follows)
    return _names(words, plain["who"]) if plain else None


def _names(words: _Words, who: str) -> str | None:
    """The names of a credit, joined by commas; None when one of them is not plainly a name."""
    segment = re.split(
        rf"\s*[,;:(–—]|\s(?:{words.out}|{words.written}|extrait|issu|tiré|inclui|perteneciente|para|pour|en|sur|dans|que|qui)\w*\s",
        f"{who} ",
    )[0]
    names = []
    for part in re.split(words.together, segment.strip()):
        described = words.who.match(part)
        name = part[described.end() :].strip(" «»“”\"'") if described else part.strip(" «»“”\"'")
        tokens = name.split()
        small = [word for word in tokens[1:] if word[0].islower() and word not in _PARTICLES]
        if (
            not tokens
            or len(tokens) > 6
            or name[0].islower()
            or name[0].isdigit()
            or small
            or tokens[0] in words.no_names.split("|")
        ):
            return None
        names.append(name)
    return ", ".join(names) or None


french, spanish = partial(_read, _FRENCH), partial(_read, _SPANISH)
