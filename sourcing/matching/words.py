"""Words of titles that mark a version, and words that only decorate, in the languages of catalogues."""

from __future__ import annotations

import re

__all__ = ["FILLER", "NEUTRAL", "REMASTER", "TEMPO", "VERSION", "VERSION_NAMES", "is_mix", "uncensored", "word_set"]


def word_set(words: str) -> frozenset[str]:
    """The words of a text as a set, for word lists in code."""
    return frozenset(words.split())


_LANGUAGES = (
    "english|german|deutsche|french|spanish|italian|japanese|korean|chinese|mandarin|cantonese|russian|portuguese|"
    "swedish|polish|hebrew|arabic|turkish"
)
#: Words that make another recording of the same song, each with the name it is reported under; Latin and Cyrillic
#: words stand alone, the others may be part of a run of characters. Han characters are simplified ones.
_VERSIONS = {
    "live": (
        r"live|in concert|concert|unplugged|sessions?|soundcheck|tiny desk|konzert|en vivo|en directo"
        r"|en concert|en public|ao vivo|dal vivo|from the basement|концерт\w*|живой звук|лайв",
        "现场|演唱会|ライブ|ライヴ|라이브",
    ),
    "remix": (
        r"re-?mix(?:ed|es)?|rmx|(?:club|dance|dub|extended|vip) mix|vip|dub|bootleg|mash-?up|megamix|rework(?:ed)?|flip"
        r"|lo-?fi|phonk|hardstyle|jersey club|drum (?:and|&) bass"
        r"|ремикс",
        "dj版|混音|リミックス|리믹스",
    ),
    "karaoke": (
        r"karaoke|backing track|sing-?along|minus one|playback|off vocal|tv track|drumless|click track|stems?"
        r"|no (?:drums|vocals?|bass|guitars?|piano)|караоке|минус",
        "伴奏|卡拉ok|カラオケ|노래방",
    ),
    "cover": (
        r"cover(?: version)?|tribute|(?:as )?made famous by|in the style of|originally performed by|lullaby"
        r"|кавер",
        "翻唱|カバー|커버",
    ),
    "instrumental": (r"instrumental(?:s| version)?|инструментал\w*", "纯音乐|インスト|연주곡"),
    "acoustic": (
        r"acoustic(?: version)?|stripped|akustik|acústic[ao]|acoustique|акусти\w+",
        "不插电|アコースティック|어쿠스틱",
    ),
    "demo": (r"demos?|demo version|rough mix|home recording|демо", "小样|デモ|데모"),
    "a cappella": (r"a ?c+app?ell?as?|vocals? only|а ?капелла", "清唱|アカペラ"),
    "arrangement": (
        r"orchestral|symphonic|piano version|string quartet version|8-?bit|music box|arr|arranged|transcription"
        r"|(?:piano|guitar|violin|organ) solo",
        "钢琴版|オルゴール",
    ),
    "part": (r"reprise|interlude|intro|outro|skit|medley|prelude to|da capo", "组曲|メドレー"),
    "outtake": (
        r"alternate|alternative|alt version|outtake|rehearsal|early (?:take|version)|rough cut|take \d+|unreleased",
        "",
    ),
    "extended": (r"extended(?: version)?|12 inch|12\" (?:version|mix)|long version", ""),
    "short": (r"tv size|tv (?:edit|ver(?:sion)?)|short ver(?:sion)?|snippet|excerpt|preview", "tvサイズ|片段"),
    "altered speed": (
        r"spee?d[ -]?up|slowed|nightcore|daycore|8d|reverb|chopped|screwed|slopped|pitched|bass boosted|reversed"
        r"|backwards|\d+ hours?",
        "加速版|慢速版",
    ),
    "re-recording": (r"re-?recorded|rerecording|taylors version|new version|remake", "重录|新录"),
    "language": (
        rf"(?:{_LANGUAGES})(?: language)? ver(?:sion|\.)?"
        r"|versi[oó]n en \w+|version (?:fran[cç]aise|anglaise)|на русском",
        "国语版|粤语版|日文版|英文版|日本语版|韩国语版",
    ),
    "spoken": (r"parody|commentary|spoken", "朗读"),
}
VERSION_NAMES = list(_VERSIONS)
VERSION = re.compile(
    "|".join(
        rf"(?P<v{i}>\b(?:{alone})\b{f'|{within}' if within else ''})"
        for i, (alone, within) in enumerate(_VERSIONS.values())
    )
)
#: Words around a version word that tell nothing of which one it is: "(Live Version)" is "(Live)".
FILLER = word_set(
    "a and at aus ban de der du edit el en for from im in la mix on performance recorded recording the track ver"
    " version"
)
REMASTER = re.compile(r"(?:(?:19|20)\d\d )?(?:digital(?:ly)? )?re-?master(?:ed|ing)?(?: (?:19|20)\d\d)?")
#: Decoration of the same recording: pressing, edition, format.
NEUTRAL = re.compile(
    rf"\b(?:{REMASTER.pattern}|mono|stereo|(?:single|album|original|lp) (?:version|edit)|radio (?:edit|mix|version)"
    r"|original mix|explicit|clean|prod|produced by|ремастер\w*"
    r"|deluxe|(?:main|full|soundtrack|international|standard|u[ks]) version|original soundtrack|(?:bonus|hidden) track"
    r"|dolby atmos|(?:anniversary|special|expanded) edition|official|lyrics?|video|audio"
    r"|visuali[sz]er|mv|from|single|hd|hq|digital|edit)\b|修复版|重制版|リマスター|리마스터|原版"
    r"|^(?:(?:19|20)\d\d|original|dirty|amended|bonus|vinyl rip|hi-?res)$"
)
_PLAIN_EDIT = word_set(
    "album clean edit explicit full lp main mix original ost radio short single soundtrack the version video"
)
_STARS = re.compile(r"[*#@_•–—-]")
_CENSORED = re.compile(r"\b[A-Za-z]+(?:[*#@_•–—]|--)(?:[A-Za-z*#@_•–—]|--)*")
#: Words that titles are censored for, the likelier first where the same letters are left.
_PROFANE: list[str] = re.findall(
    r"\w+",
    """
    fuck fucks fucked fucker fuckin fucking motherfucker motherfuckers motherfuckin motherfucking shit shits shitty
    bullshit bitch bitches ass asses asshole assholes dick dicks pussy cunt cock damn goddamn nigga niggas niggaz
    nigger whore whores slut sluts bastard bastards piss pissed tits hell crap fag hoe hoes porn sex sexy rape kill
    killed killer suicide drug drugs cocaine weed gun guns murder
    """,
)
#: What movements are called; a title made of these alone names no work.
TEMPO = word_set(
    "adagio allegretto allegro allemande andante andantino aria assai bourree brio cantabile con courante "
    "e finale fugue fuoco gavotte gigue grave intro larghetto largo lento ma menuet menuetto minuet "
    "moderato molto moto non poco prelude prestissimo presto rondo sarabande scene scherzo sostenuto trio "
    "troppo vivace"
)


def is_mix(mark: str) -> bool:
    """True for the mark of a new recording: "(Smith's Mix)", "(Smith Edit)", "(Club Version)"; not "(Radio Edit)"."""
    if not (kind := re.search(r"\b(mix|edit|version)\b", mark)):
        return False
    makers = set(re.findall(r"\w+", NEUTRAL.sub(" ", mark))) - _PLAIN_EDIT
    return bool(makers) if kind[1] == "mix" else any(not word.isdigit() for word in makers)


def uncensored(text: str) -> str:
    """Text with starred-out words restored: "F**k You", "Bad B*tch"."""
    return _CENSORED.sub(_profanity, text) if _STARS.search(text) else text


def _profanity(match: re.Match[str]) -> str:
    word = str(match[0]).replace("--", "**")
    letters = len(word) - len(_STARS.findall(word))
    exact = re.compile("".join("." if _STARS.match(sign) else re.escape(sign) for sign in word), re.IGNORECASE)
    loose = re.compile(r"\w+".join(map(re.escape, re.split(r"[*#@_•–—]+", word))), re.IGNORECASE)
    for pattern in (exact, loose) if letters > 1 else (exact,):
        for profanity in _PROFANE:
            if pattern.fullmatch(profanity):
                return profanity
    return str(match[0])
