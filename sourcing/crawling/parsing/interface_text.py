"""Interface text (buttons, menus, notices) told apart from prose about music."""

from __future__ import annotations

import re

__all__ = ["reading_matter", "too_little", "with_whole_capitals", "without_interface"]

MIN_WORDS = 8  # of a page's prose to be a document; a Han character or kana counts as half a word
_MAX_LINE_CHARS = 300  # a longer line is prose, whatever it begins with
_MAX_COUNTED_CHARS = 200  # hold more words than any bound here
_MAX_LABEL_WORDS = 4  # of a line without a stop, in a text that is short altogether
_STOP = re.compile(r"[.!?…。！？][\"'”’»)\]」』]*(?:\s|$)|[。！？]")
_WORD = re.compile(r"[\u3040-\u30ff\u3400-\u9fff]|[^\W\d_\u3040-\u30ff\u3400-\u9fff]{2,}|[aio]\b", re.IGNORECASE)
_HALF_WORD = re.compile(r"[\u3040-\u30ff\u3400-\u9fff]")
#: Lines that are nothing else than these.
_LABELS = (
    r"(?:buy |get )?tickets?(?: now| here)?|enable (?:cookies|javascript)|accept(?: all| cookies| and close)*"
    r"|reject(?: all)?"
    r"|(?:manage|cookie) (?:preferences|settings|cookies|options)|sign (?:in|up|out)|log ?(?:in|out)|register"
    r"|my account"
    r"|menu|search|home|read more|more|continue reading|(?:show|view|load|see) (?:more|all|less)|share|tweet"
    r"|pin it|like"
    r"|(?:\d+ )?(?:comments?|likes?|views?|shares?|replies|followers)|reply|next|previous|back(?: to top)?"
    r"|close|play(?: all)?"
    r"|pause|listen(?: now| here)?|stream(?: now)?|download|add to .{1,20}|sold out|buy(?: now| it now)?"
    r"|advertisement|anzeige"
    r"|werbung|sponsored|contact(?: us)?|about(?: us)?|impressum|kontakt|datenschutz(?:erklärung)?|agb|loading"
    r"|weiterlesen"
    r"|mehr(?: lesen| anzeigen)?|teilen|anmelden|abonnieren|suche|startseite|lire la suite|partager|accueil"
    r"|leer más"
    r"|compartir|inicio|оставить комментарий|читать далее|войти|ログイン|もっと見る|シェア|登录|注册|分享|更多"
)
_SITE = r"(?:page|site|content|article|story|post|resource|video|url|link|file|document)"
#: How other lines of the kind begin.
_OPENINGS = (
    r"(?:we|this (?:web)?site|our (?:partners|site|website)|by (?:using|continuing)|wir|diese (?:web)?(?:seite|site)"
    r"|nous|ce site"
    r"|este sitio|usamos|utilizamos|мы используем)\b.{0,70}\bcookies?\b",
    r"cookies? (?:help|allow|are used|settings|policy|notice)|(?:alle )?cookies (?:akzeptieren|erlauben|zulassen)",
    r"alle akzeptieren|tout accepter|aceptar (?:todo|cookies)",
    r"(?:please )?(?:enable|turn on|activate|switch on|aktivieren sie|activez) (?:cookies|java ?script)",
    r"java ?script (?:is|must|seems|needs)|you need to (?:enable|turn on|be logged|log|sign)|bitte aktivieren sie",
    r"(?:your|this) browser (?:is|does|doesn|has|must)|please (?:upgrade|update) your browser",
    r"(?:please )?(?:sign|log) ?(?:in|up) (?:to|with|for|or|below)\b|please (?:sign|log) ?in"
    r"|you must (?:be logged|log|sign)",
    r"log ?in sign|sign in (?:sign|log)|forgot (?:your )?password|create an account|don['’]t have an account",
    r"bitte (?:melden|loggen|einloggen|anmelden)|connectez-vous|inicia sesión|ログインして|请(?:先)?登录",
    r"subscribe (?:to (?:our|the|my|continue|read|this)|now|today|for|via|here)|sign up (?:to|for)"
    r"|join our (?:mailing|newsletter)",
    r"(?:our|free|weekly|get (?:the|our)|der|zum|unser) newsletter|never miss\b|jetzt abonnieren|abonnez-vous"
    r"|newsletter\b",
    rf"this {_SITE} is (?:for|only|available|reserved|exclusive|locked|members).{{0,60}}(?:subscribers|members"
    rf"|premium|supporters)",
    r"(?:you have|you['’]ve) (?:reached|read|used).{0,40}(?:articles|limit|stories)|already a (?:subscriber"
    r"|member)",
    r"(?:to )?continue reading\b|to read (?:the full|this|on)|unlock (?:this|the full)|become a (?:member"
    r"|subscriber|supporter)",
    r"(?:error )?40[34]\b|page not found|not found\W*$|(?:oops|whoops|sorry)\W+.{0,60}(?:found|find|exist"
    r"|available|wrong|moved)",
    rf"(?:sorry\W+)?(?:the|this|that) {_SITE} .{{0,60}}(?:not (?:be )?found|not exist|n['’]t exist|no longer"
    rf"|been (?:re)?moved"
    r"|unavailable|not available|isn['’]t available|is private)",
    r"seite nicht gefunden|diese seite (?:existiert|wurde)|page introuvable|página no encontrada"
    r"|страница не найдена",
    r"页面(?:不存在|未找到)|ページが見つかりません",
    r"access denied|forbidden\b|you (?:do not|don['’]t) have permission|checking your browser|verif(?:y"
    r"|ying) (?:that )?you"
    r"|are you a robot|(?:please )?complete the (?:captcha|security)|just a moment|attention required"
    r"|unusual traffic",
    rf"share (?:this (?:{_SITE}|on|via)|on|via|with friends)|(?:follow|find|like) us\b"
    rf"|follow .{{1,30}} on (?:facebook|twitter|instagram)",
    r"(?:tweet|share|pin it)(?: \S+)? (?:tweet|share|email|pin)|copy link|share on\b",
    r"(?:posted|published|written) (?:by|on|in) .{1,60}$|filed under|(?:tags?|categories|tagged|labels):"
    r"|leave a (?:reply|comment)",
    r"your email address will|comments are (?:closed|disabled)|be the first to (?:comment|review)|required fields",
    r"(?:©|\(c\) ?\d|copyright\b).{0,120}$|.{0,60}(?:all rights reserved|alle rechte vorbehalten"
    r"|tous droits réservés"
    r"|todos los derechos reservados|все права защищены)",
    r"(?:terms (?:of|and)|privacy (?:policy|notice|settings))|利用規約|プライバシー|隐私政策",
    r"now playing|up next\b|you (?:may|might) also (?:like|enjoy)|related (?:articles|posts|stories|videos)"
    r"|recommended for you"
    r"|most (?:read|popular|viewed)|trending now",
    r"(?:buy|get|order|book|find) (?:your )?tickets|tickets (?:from|on sale|are|available|for)|on sale (?:now"
    r"|from|friday|\d)"
    r"|order now|(?:in|out of) stock|free shipping|add to (?:cart|basket|bag|wishlist)|price:|from [$€£]\d",
    r"skip to\b|jump to\b|scroll (?:down|up|to)|back to (?:the )?top|click (?:here|to)|tap to|swipe|zum inhalt"
    r"|aller au contenu",
    r"\d{1,2}:\d{2}(?:\s*/\s*\d{1,2}:\d{2})?\W*$|loading\W*$|advertisement\b|powered by\b|theme (?:by|:)"
    r"|proudly powered",
)
#: A label, labels one after the other, or an opening, also behind a label: "Accept all cookies. We use cookies to …".
_INTERFACE = re.compile(
    rf"\W*(?:(?:{_LABELS})[.!…:|·•]\s+){{0,3}}(?:(?:{_LABELS})[\s.!…»›→:0-9/]*$|(?:{'|'.join(_OPENINGS)}))",
    re.IGNORECASE,
)
_GAP = re.compile(r"\n{3,}")
_CAPITAL = re.compile(r"(\w) ([^\W\d_]+)\b")
_COMMON_WORDS = """
    the this that there these they then though three to two when with what while where which who why we were was will he
    she his her have has had how it its in is if into an and as at after all although are again among but by before both
    because can could do does did each even every few for from first here i just last like long many maybe more most
    much my not nothing no now of off on one once only or our over perhaps since so some such under until up you your
    der die das den dem des ein eine einen es er sie wir ich im in mit nach auf aus bei von vor wenn wer wie was zu zum
    und als noch nur schon seit so le la les un une il elle en dans ce cette au avec pour el los las una por para con se
"""
_COMMON = frozenset(_COMMON_WORDS.split())


def with_whole_capitals(line: str) -> str:
    """The line with a drop capital joined to its word: "T he album" is "The album"."""
    initial = _CAPITAL.match(line)
    if initial and initial[1].isupper() and f"{initial[1]}{initial[2]}".casefold() in _COMMON:
        return f"{initial[1]}{line[2:]}"
    return line


def without_interface(text: str | None) -> str | None:
    """The lines of a text that are no words of an interface."""
    lines = (text or "").split("\n")
    return _joined([line for line in lines if not _is_interface(line)]) if text else None


def reading_matter(prose: str | None) -> str | None:
    """A page's prose without interface; of one short altogether, without lines that are mere labels too."""
    text = without_interface(prose)
    if text and not _has_words(text):
        text = _joined([line for line in text.split("\n") if _STOP.search(line) or line.count(" ") >= _MAX_LABEL_WORDS])
    return text


def _joined(lines: list[str]) -> str | None:
    text = "\n".join(lines)
    return (_GAP.sub("\n\n", text) if "\n\n\n" in text else text).strip() or None


def too_little(prose: str | None, rest: str | None) -> str:
    """Reason why a page's prose is no document, `rest` being the prose without interface text; empty when it is one."""
    if rest and _has_words(rest) and _STOP.search(rest):
        return ""
    return "prose_too_short" if rest == prose else "interface_text"


def _is_interface(line: str) -> bool:
    return bool(line) and len(line) <= _MAX_LINE_CHARS and _INTERFACE.match(line) is not None


def _has_words(text: str) -> bool:
    """Whether a text's beginning has `MIN_WORDS` words."""
    halves = 0
    for word in _WORD.finditer(text, 0, _MAX_COUNTED_CHARS):
        halves += 1 if _HALF_WORD.match(word[0]) else 2
        if halves >= 2 * MIN_WORDS:
            return True
    return False
