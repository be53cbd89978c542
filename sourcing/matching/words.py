"""Words of titles that mark a version, and words that only decorate, in the languages of catalogues."""

from __future__ import annotations

import re

__all__ = ["FILLER", "NEUTRAL", "TEMPO", "VERSION", "VERSION_NAMES", "is_mix"]


def _set(words: str) -> frozenset[str]:
    return frozenset(words.split())


_LANGUAGES = (
    "english|german|deutsche|french|spanish|italian|japanese|korean|chinese|mandarin|cantonese|russian|portuguese|"
    "swedish|polish|hebrew|arabic|turkish"
)
#: Words that make another recording of the same song, each with the name it is reported under; Latin and Cyrillic
#: words stand alone, the others may be part of a run of characters. Han characters are simplified ones.
_VERSIONS = {
    "live": (
        r"live|in concert|concert|unplugged|(?:bbc|peel|studio|radio) sessions?|tiny desk|konzert|en vivo|en directo"
        r"|en concert|en public|ao vivo|dal vivo|from the basement|концерт\w*|живой звук|лайв",
        "现场|演唱会|ライブ|ライヴ|라이브",
    ),
    "remix": (
        r"re-?mix(?:ed|es)?|rmx|(?:club|dance|dub|extended|vip) mix|vip|dub|bootleg|mash-?up|megamix|rework(?:ed)?|flip"
        r"|ремикс",
        "dj版|混音|リミックス|리믹스",
    ),
    "karaoke": (
        r"karaoke|backing track|sing-?along|minus one|playback|off vocal|караоке|минус",
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
    "a cappella": (r"a ?cappella|acapella|vocals only|а ?капелла", "清唱|アカペラ"),
    "arrangement": (
        r"orchestral|symphonic|piano version|string quartet version|8-?bit|music box|arr|arranged|transcription",
        "钢琴版|オルゴール",
    ),
    "part": (r"reprise|interlude|intro|outro|skit|medley|prelude to|da capo", "组曲|メドレー"),
    "outtake": (r"alternate|alternative|alt version|outtake|rehearsal|early version|take \d+|unreleased", ""),
    "extended": (r"extended(?: version)?|12 inch|12\" (?:version|mix)|long version", ""),
    "short": (r"tv size|tv edit|short version|snippet|excerpt|preview", "tvサイズ|片段"),
    "altered speed": (r"sped up|slowed|nightcore|8d|reverb", "加速版|慢速版"),
    "re-recording": (r"re-?recorded|rerecording|taylors version|new version", "重录|新录"),
    "language": (
        rf"(?:{_LANGUAGES})(?: language)? ver(?:sion|\.)?|на русском",
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
FILLER = _set(
    "a at aus ban de der du edit el en for from im in la mix on performance recorded recording the track ver version"
)
#: Decoration of the same recording: pressing, edition, format.
NEUTRAL = re.compile(
    r"\b(?:re-?master(?:ed|ing)?|mono|stereo|(?:single|album|original|lp) (?:version|edit)|radio (?:edit|mix|version)"
    r"|original mix|explicit|clean|bonus track|prod|produced by|ремастер\w*"
    r"|deluxe|(?:anniversary|special|expanded) edition|official|lyrics?|video|audio|visualizer|mv|from|single|hd|hq"
    r"|digital|edit)\b|修复版|重制版|リマスター|리마스터|原版|^(?:19|20)\d\d$"
)
_PLAIN_EDIT = _set("album clean edit explicit full lp mix original radio short single the version video")
#: What movements are called; a title made of these alone names no work.
TEMPO = _set(
    "adagio allegretto allegro allemande andante andantino aria assai bourree brio cantabile con courante "
    "e finale fugue fuoco gavotte gigue grave intro larghetto largo lento ma menuet menuetto minuet "
    "moderato molto moto non poco prelude prestissimo presto rondo sarabande scene scherzo sostenuto trio "
    "troppo vivace"
)


def is_mix(mark: str) -> bool:
    """ "(Somebody's Mix)" and "(Somebody Edit)" are remixes, whoever made them; "(Radio Edit)" is not."""
    if not (found := re.search(r"\b(mix|edit)\b", mark)):
        return False
    told = set(re.findall(r"\w+", NEUTRAL.sub(" ", mark))) - _PLAIN_EDIT
    return bool(told) if found[1] == "mix" else any(not word.isdigit() for word in told)
