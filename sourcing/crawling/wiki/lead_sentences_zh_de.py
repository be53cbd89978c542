"""How Chinese, Japanese and German encyclopedias open an article about music: what it is about, who performs it, when.

A few sentence shapes each; whatever is not plainly one of them is None.
"""

from __future__ import annotations

import re

from sourcing.crawling.parsing.sentences import first_sentences, sentence_ends

__all__ = ["QUALIFIERS", "Reading", "chinese", "german", "japanese"]

_ZH_RECORDING = (
    "歌曲|单曲|單曲|曲目|主题曲|主題曲|片头曲|片頭曲|片尾曲|插曲|舞曲|抒情曲|民谣|民謠|民歌|儿歌|兒歌|颂歌|頌歌|圣歌|聖歌|乐曲|樂曲"
    "|协奏曲|協奏曲|交响曲|交響曲|奏鸣曲|奏鳴曲|练习曲|練習曲|夜曲"
)
_ZH_RELEASE = (
    "专辑|專輯|大碟|EP|原声带|原聲帶|原声大碟|精选集|精選集|精选辑|精選輯|合辑|合輯|唱片|混音带|混音帶"  # also 迷你专辑
)
_ZH_ROLE = (
    "歌手|唱作人|创作人|創作人|音乐人|音樂人|音乐家|音樂家|作曲家|钢琴家|鋼琴家|乐队|樂隊|乐团|樂團|组合|組合|团体|團體|女团|女團"
    "|男团|男團|二人组|二人組|双人组|雙人組|艺人|藝人|演员|演員|偶像|饶舌者|饒舌者|制作人|製作人|合唱团|合唱團|管弦乐团|管弦樂團|DJ"
)
_ZH_COUNTRY = (
    "中国大陆|中國大陸|中华人民共和国|中国|中國|台湾|臺灣|台灣|香港|澳门|澳門|日本|韩国|韓國|南韩|南韓|新加坡|马来西亚|馬來西亞"
    "|美国|美國|英国|英國|爱尔兰|愛爾蘭|加拿大|澳大利亚|澳大利亞|澳洲|新西兰|紐西蘭|法国|法國|德国|德國|意大利|義大利|西班牙"
    "|葡萄牙|瑞典|挪威|丹麦|丹麥|芬兰|芬蘭|冰岛|冰島|荷兰|荷蘭|比利时|比利時|俄罗斯|俄羅斯|乌克兰|烏克蘭|巴西|墨西哥|哥伦比亚"
    "|哥倫比亞|印度|泰国|泰國|越南|菲律宾|菲律賓|印度尼西亚|印尼|巴巴多斯|牙买加|牙買加"
)
#: What stands where a name would and is none: languages, kinds of music, things that are no performer.
_ZH_NO_NAME = re.compile(
    r"[《》〈〉「」『』“”\"的]|\d{4}年|电视|電視|电影|電影|动画|動畫|游戏|遊戲|节目|節目|作词|作詞|作曲|编曲|編曲|创作|創作|收录|收錄"
    rf"|^(?:{_ZH_COUNTRY}|国语|國語|华语|華語|粤语|粵語|中文|英文|英语|英語|日语|日語|韩语|韓語|流行|摇滚|搖滾|抒情|经典|經典|著名"
    r"|首支|第.{1,3}[首张張支])*$"
)
_ZH_TITLE = re.compile(r"^\s*[《〈「『“\"].*?[》〉」』”\"]+")
_ZH_CLAUSE = re.compile(r"(?:是|为|為)(?P<clause>[^。；;]*)")
#: "由A演唱的歌曲", "A的一首歌曲", "A于2005年发行的专辑"
_ZH_OF = re.compile(
    r"^(?:一[首张張支])?由?(?P<who>[^，,]{1,60}?)(?:[于於在]\d{4}年[^，,的]{0,12})?"
    r"(?:共同|合作)?(?:所)?(?:演唱|主唱|合唱|演奏|录制|錄製|录唱|錄唱|发行|發行|推出|发表|發表)?"
    rf"的[^，,]{{0,24}}?(?:{_ZH_RECORDING}|{_ZH_RELEASE})"
)
_ZH_AND = re.compile(rf"(?:与|與|和|及|、|&)(?=(?:{_ZH_COUNTRY})|[^与與和及、&]{{0,12}}(?:{_ZH_ROLE}))")
_ZH_YEAR = re.compile(
    r"(1[89]\d\d|20\d\d)年[^，,。；]{0,16}?(?:发行|發行|推出|录制|錄製|发表|發表|发布|發布)"
    r"|(?:发行|發行|推出|录制|錄製|发表|發表|发布|發布)[于於](1[89]\d\d|20\d\d)年"
)

_ZH_WRITING = (
    "(?:作词|作詞|填词|填詞|作曲|谱曲|譜曲|编曲|編曲|词曲|詞曲|创作|創作|制作|製作|监制|監製|包办|包辦|独立|獨立|自己)"
)
_ZH_MAKING = re.compile(rf"{_ZH_WRITING}|演唱|原唱|翻唱")
_ZH_SINGING = "(?:演唱|主唱|合唱|原唱|演奏|献唱|獻唱)(?!会|會|者|组|組)"
#: "由A制作并演唱", "由A作词、B作曲、C演唱": who stands before the singing, and nothing but writing between.
_ZH_BY = re.compile(
    rf"(?:由|[，,、；]|并由|並由)(?P<who>(?:(?!{_ZH_WRITING})[^，,；。的由]){{1,40}}?)"
    rf"(?:{_ZH_WRITING}(?:、|及|和|与|與|并|並|且)?)*(?:共同|合作|首次|所)?{_ZH_SINGING}"
)
_ZH_SUNG = re.compile(rf"{_ZH_SINGING}的[^，,]{{0,12}}(?:{_ZH_RECORDING})(?=[，,]|$)")
_ZH_SCREEN = re.compile("电影|電影|电视剧|電視劇|动画|動畫|游戏|遊戲|收录|收錄")
_ZH_OTHERS = re.compile(
    rf"{_ZH_SCREEN.pattern}|翻唱|重唱|(?:发行|發行|推出)的[^，]*(?:{_ZH_RELEASE})|^(?:该|該|这张|這張)?(?:{_ZH_RELEASE})"
)

_JA_ROLE = "歌手|シンガーソングライター|バンド|グループ|ユニット|ラッパー|音楽家|ミュージシャン|デュオ|アーティスト"
_JA_IS = re.compile(r"は、(?P<what>[^。]{1,80})")
_JA_OF = re.compile(rf"[^。、]{{0,24}}?(?:{_JA_ROLE})(?:・|「|、)(?P<name>[^。、「」『』・]{{1,30}}?)」?の")
_JA_KINDS = (
    ("recording", "楽曲|シングル|歌"),
    ("release", "アルバム|EP"),
    ("artist", _JA_ROLE),
)
_JA_BRACKET = re.compile("(?P<name>.{1,30})の(?:曲|楽曲|シングル|アルバム)$")
_JA_YEAR = re.compile(r"(1[89]\d\d|20\d\d)年.{0,16}?(?:発売|リリース|発表)")

_DE_RECORDING = r"[\w-]*(?:[Ll]ied|[Ss]ong|[Ss]ingle|[Mm]usikstück|[Bb]allade|[Hh]ymne|[Tt]rack|[Mm]usiktitel|[Tt]itel)"
_DE_COMPOSED = r"\w*(?:[Kk]omposition|[Ss]onate|[Kk]onzert|[Ss]infonie|[Aa]rie|[Jj]azzstandard)"
_DE_RELEASE = r"(?:[\w-]*[Aa]lbum|EP|Extended Play|[\w-]*[Ss]oundtrack|[Mm]ixtape|\w*[Kk]ompilation)"
_DE_ROLE = (
    r"(?:[\w-]*(?:band|gruppe|sänger(?:in|s)?|rapper(?:in|s)?|musiker(?:in|s)?|duos?|trios?|quartetts?|quintetts?"
    r"|künstler(?:in|s)?|produzent(?:in|en)?|projekts?|interpret(?:in|en)?|komponist(?:in|en)?|liedermacher(?:in|s)?"
    r"|songwriter(?:in|s)?|formation|popstars?|orchesters?|ensembles?|kollektivs?|[Pp]ianist(?:in|en)?"
    r"|[Gg]itarrist(?:in|en)?|[Bb]assist(?:in|en)?|[Ss]chlagzeuger(?:in|s)?|[Gg]eiger(?:in|s)?|chors?)|DJs?)"
)
_DE_IS = r"\b(?:ist|war|sind|waren)\s+(?:ein|eine|das|die|der)\b"
#: The noun after "ist ein": adjectives are small, save "US-amerikanischer" and what stands in quotes.
_DE_HEAD = re.compile(
    rf"{_DE_IS}\s+(?:(?:[a-zäöüß][\w-]*,?|[A-Z]{{1,3}}-[a-zäöü]\w*|\d+\.)\s+){{0,6}}"
    r"(?P<head>Extended Play|[A-ZÄÖÜ][\w-]*)"
)
_DE_KINDS = (
    ("recording", re.compile(f"{_DE_RECORDING}s?|{_DE_COMPOSED}")),
    ("release", re.compile(_DE_RELEASE)),
    ("artist", re.compile(_DE_ROLE, re.IGNORECASE)),
)
_DE_NOT = re.compile(
    r"(?i)(?:unter|arbeits|volks|berufs|partei|terror|forschungs|selbsthilfe|alters)gruppe|.*werbeband|armband"
)
_DE_OF = re.compile(r"\s+(?:aus\s+dem\s+Jahre?\s+\d{4}\s+)?(?P<of>der|des|von)\s+(?P<rest>[^;]*)")
_DE_CUT = re.compile(
    r"\s*(?:[,;:(–—]|\s(?:aus|auf|im|in|für|mit|das|die|welche[srn]?|und\s+(?:wurde|erschien|gilt|gehört|ist|die|das)"
    r"|zu[mr]?|nach|wurde|erschien|vo[nm]\s+\d+|von\s+(?:ihrem|ihrer|seinem|seiner|dem|deren|dessen))\b)"
)
_DE_AND = re.compile(r"\s+(?:und|feat\.|featuring|&)\s+")
_DE_YEAR = re.compile(
    r"(?P<before>.*?)(?:\baus\s+de[mn]\s+Jahre?\s+(1[89]\d\d|20\d\d)\b"
    r"|\b(?:veröffentlicht|erschien|erschienen)\w*\b(?:[^.;]|(?<=\d)\.){0,60}?\b(1[89]\d\d|20\d\d)\b"
    r"|\b(1[89]\d\d|20\d\d)\b[^.;,]{0,40}?\b(?:veröffentlicht|erschien))",
    re.DOTALL,
)
#: A year behind one of these is that thing's own.
_DE_OTHERS = re.compile(
    r"\b\w*(?:[Aa]lbums?|Films?|[Ff]ilm|EP|Musicals?|Serie|Spiels?|Romans?|[Ss]oundtracks?|Coverversion|Neuauflage)\b"
)
_DE_SUBJECTS = {
    "recording": re.compile(r"(?:Es|Sie|Er|Das (?:Lied|Stück)|Der (?:Song|Titel)|Die (?:Single|Ballade))\s"),
    "release": re.compile(r"(?:Es|Sie|Das (?:\w*[Aa]lbum)|Die EP|Die \w*[Kk]ompilation)\s"),
}

#: The bracket after a title in the two languages: "晴天 (周杰倫歌曲)", "Yellow (Lied)"; recording, release or artist.
#: What a French or Spanish bracket goes on with: "chanson de A", "álbum de 2004", "groupe de rock".
_OF_WHOM = r"(?: (?:de|du|des|del) .+| d['’].+| \d{4})?"
_OF_WHAT = r"(?: (?:de )?(?:rock|pop|m[uú]si\w+|metal|rap|punk|jazz|folk)\w*)"  # a bare group may be a company
QUALIFIERS = (
    (
        "recording",
        re.compile(
            rf"(?:{_ZH_RECORDING}|(?:^|の)(?:曲|楽曲|シングル)|\b(?:Lied|Single|Stück))$"
            rf"|^(?:chanson|single|morceau|canción|sencillo){_OF_WHOM}$"
        ),
    ),
    (
        "release",
        re.compile(
            rf"(?:{_ZH_RELEASE}|アルバム|\b(?:Album|Musikalbum|Studioalbum|Livealbum|Soundtrack))$"
            rf"|^(?:album|álbum|EP|compilation|bande originale|banda sonora){_OF_WHOM}$"
        ),
    ),
    (
        "artist",
        re.compile(
            rf"(?:{_ZH_ROLE}|バンド|シンガーソングライター|ラッパー|ミュージシャン|(?:音楽|アイドル)(?:グループ|ユニット)"
            r"|\b(?:\w*[Ss]änger(?:in)?|Rapper(?:in)?|Musiker(?:in)?|Musikgruppe|Band))$"
            rf"|^(?:groupe|grupo){_OF_WHAT}$"
            rf"|^(?:banda|chanteu(?:r|se)|rappeu(?:r|se)|musicien(?:ne)?|cantante|raper[oa]|músic[oa]|dúo){_OF_WHAT}?$"
        ),
    ),
)

Reading = tuple[str, str | None, int | None]  # granularity, performer, year


def chinese(text: str, qualifier: str | None = None) -> Reading:
    """Granularity, performer and year of a Chinese opening; the bracket ("周杰倫歌曲") names the performer where the
    sentence does not.
    """
    sentences = _sentences(text)
    predicate = _ZH_CLAUSE.search(_ZH_TITLE.sub("", sentences[0]))
    clause = predicate["clause"].strip() if predicate else ""
    kind = _chinese_kind(clause)
    by, of = _ZH_BY.search(clause), _ZH_OF.match(clause)
    who = of if of and not _ZH_MAKING.search(of["who"]) else by
    artist = _chinese_names(who["who"]) if who else None
    if artist is None and qualifier:
        name = re.sub(rf"(?:{_ZH_RECORDING}|{_ZH_RELEASE})$", "", qualifier).strip()
        artist = name if name != qualifier and not _ZH_NO_NAME.search(name) else None
    return kind, artist if kind != "artist" else None, _chinese_year(sentences, kind, qualifier)


def _chinese_kind(clause: str) -> str:
    """The head of a Chinese noun phrase comes last, but "是一首收录于专辑…" is a song whatever follows."""
    first = re.split("[，,]", clause)[0]
    if "一首" in first or (clause.startswith("由") and _ZH_SUNG.search(clause)):
        return "recording"
    for phrase in (first, first.split("、")[0]):
        phrase = re.sub(r"(?:《[^》]*》|〈[^〉]*〉|之一|作品)$", "", phrase.strip())
        for kind, words in (("recording", _ZH_RECORDING), ("release", _ZH_RELEASE), ("artist", _ZH_ROLE)):
            if re.search(rf"(?:{words})$", phrase):
                return kind
    return "page"


def _chinese_year(sentences: list[str], kind: str, qualifier: str | None) -> int | None:
    """Year from a clause about this thing alone: the album's, film's and cover's years are their own."""
    others = _ZH_OTHERS if kind == "recording" or (qualifier and not re.search(_ZH_RELEASE, qualifier)) else _ZH_SCREEN
    for part in (part for sentence in sentences for part in re.split("[，,；;]", sentence)):
        year = _ZH_YEAR.search(part)
        if year and not others.search(part):
            return int(year[1] or year[2])
    return None


def japanese(text: str, qualifier: str | None = None) -> Reading:
    """Of "「X」は、日本の歌手・Yの楽曲。" alone; a performer is named only behind the word for what they are."""
    first, *later = _sentences(text)
    clause = _JA_IS.search(first)
    what = clause["what"] if clause else ""
    kind = next((kind for kind, words in _JA_KINDS if re.search(rf"(?:{words})(?:である|です)?$", what)), "page")
    of = _JA_OF.match(what) or _JA_BRACKET.match(qualifier or "")
    parts = (part for sentence in (first, *later) for part in re.split("[、。]", sentence) if "収録" not in part)
    year = next((int(date[1]) for part in parts if (date := _JA_YEAR.search(part))), None)
    return kind, of["name"].strip() if of and kind in ("recording", "release") else None, year


def _chinese_names(who: str) -> str | None:
    """The names in "台湾歌手A与美国歌手B", joined by commas; None when one of them is not plainly a name."""
    names = [_chinese_name(part) for part in _ZH_AND.split(re.sub(r"[于於在]\d{4}年.*$", "", who))]
    return ", ".join(name for name in names if name) if all(names) else None


def _chinese_name(described: str) -> str | None:
    roles = [match.end() for match in re.finditer(_ZH_ROLE, described)]
    name = described[roles[-1] :].strip(" ·") if roles else described.strip()
    if roles and not name:  # the last role belongs to the name: 英國搖滾樂團|酷玩樂團; alone it describes: 英国乐队
        name = described[roles[-2] :].strip() if len(roles) > 1 else described.strip()
        if len(roles) == 1 and re.match(_ZH_COUNTRY, name):
            return None
    return name if 0 < len(name) <= 40 and not _ZH_NO_NAME.search(name) else None


def german(text: str, qualifier: str | None = None) -> Reading:
    """Granularity, performer and year of a German opening; the year also from the next sentence. "Komposition von"
    names a writer, no performer.
    """
    first, *later = _sentences(text)
    head = _DE_HEAD.search(first)
    noun = head["head"] if head and not _DE_NOT.match(head["head"]) else ""
    kind = next((kind for kind, words in _DE_KINDS if words.fullmatch(noun)), "page")
    of = _DE_OF.match(first, head.end()) if head and kind in ("recording", "release") else None
    has_performer = of is not None and not re.fullmatch(_DE_COMPOSED, noun)
    artist = _german_names(of["rest"], described=of["of"] != "von") if of and has_performer else None
    return (
        kind,
        artist,
        _german_year(first, kind, head.end() if head else 0)
        or next((year for sentence in later if (year := _german_year(sentence, kind, None))), None),
    )


def _german_year(sentence: str, kind: str, start: int | None) -> int | None:
    """From `start` of the first sentence; of a later one (None) only where it speaks of the same thing."""
    if start is None:
        subject = _DE_SUBJECTS[kind].match(sentence) if kind in _DE_SUBJECTS else None
        if subject is None:
            return None
        start = subject.end()
    match = _DE_YEAR.match(sentence, start)
    if match is None or _DE_OTHERS.search(match["before"]):
        return None
    return next(int(group) for group in match.groups()[1:] if group)


def _german_names(rest: str, *, described: bool) -> str | None:
    """The names in "deutschen Sängerin A und des Rappers B"; after der/des a name needs the word for what it is."""
    names: list[str] = []
    for part in _DE_AND.split(_german_up_to_cut(rest)):
        part, article = re.subn(r"^(?:der|des|dem|von)\s+", "", part.strip())
        roles = list(re.finditer(rf"(?<![\w-]){_DE_ROLE}(?![\w-])", part, re.IGNORECASE))
        name = part[roles[-1].end() :].strip(' ,"„“”') if roles else part.strip(' ,"„“”')
        if (described or article) and not roles and not names:
            return None
        if roles and not name:
            continue  # half of a description: "britischen DJs [und Produzenten A]"
        words = name.split()
        small = [word for word in words if word[0].islower() and word not in ("von", "der", "die", "und", "van", "de")]
        if not words or len(words) > 6 or small or re.fullmatch(r"[\d\s]+", name):
            return None
        names.append(name)
    return ", ".join(names) or None


def _german_up_to_cut(rest: str) -> str:
    match = _DE_CUT.search(rest)
    return (rest[: match.start()] if match else rest).removesuffix(".")


def _sentences(text: str) -> list[str]:
    """The first two sentences, without asides in brackets."""
    opening = _without_asides(first_sentences(text) or "")
    ends = [0, *sentence_ends(opening)]
    return [opening[start:end].strip() for start, end in zip(ends, [*ends[1:], len(opening)], strict=True)]


def _without_asides(opening: str) -> str:
    return re.sub(r"\s*[（(][^（()）]*[)）]", "", opening)
