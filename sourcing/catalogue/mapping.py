"""Which column of an owner's file is which of ours, guessed by its name in the languages catalogues come in."""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from sourcing.errors import CatalogueError, UsageError
from sourcing.store import Track

__all__ = ["NEEDED", "OURS", "ColumnMap", "field_of", "map_columns"]

NEEDED = ("track_id", "title", "artist")
OURS = tuple(name for name in Track.column_names() if name != "extra")

#: Names of columns, the likeliest first; compared without case, spaces and punctuation.
_NAMES = {
    "track_id": "Track ID, Song ID, Recording ID, Asset ID, Spotify Track ID, Spotify URI, Track URI, Spotify ID, Titel ID,"
    " Titelnummer ID, Persistent ID, Internal ID, Unique ID, Identifier, UUID, GUID, URI, ID, 曲ID, 楽曲ID, 歌曲ID",
    "title": "Track Title, Track Name, Song Title, Song Name, Recording Title, Title, Titel, Songtitel, Liedtitel, Track"
    " Titel, Titelname, Titre, Titre de la piste, Titre du morceau, Nom du titre, Morceau, Título, Título de la canción,"
    " Nombre de la canción, Nombre de la pista, Canción, Nome da música, Faixa, Música, Titolo, Titolo brano, Brano,"
    " 曲名, 楽曲名, タイトル, トラック名, 歌名, 歌曲名, 歌曲名称, 歌曲, 标题, 標題, 曲目, 제목, 곡명, Название, Название трека,"
    " Название песни, Tytuł, Track, Song, Name",
    "artist": "Artist Name, Track Artist, Artist Name(s), Artist, Artists, Artist Names, Main Artist, Primary Artist,"
    " Performer, Performers, Interpret, Interpreten, Interpret/in, Künstler, Künstlername, Kuenstler, Artiste, Artistes,"
    " Nom de l'artiste, Interprète, Artista, Artistas, Nombre del artista, Nome do artista, Intérprete, Interprete,"
    " アーティスト, アーティスト名, 歌手, 歌手名, 艺人, 艺术家, 藝人, 演唱者, 演出者, 가수, 아티스트, Исполнитель, Артист,"
    " Wykonawca, Artiest, Band, Album Artist, Albumartist, Credited Artist, Artist Credit",
    "album": "Album Title, Album Name, Album, Release Title, Release Name, Product Title, Albumtitel, Albumname, Titre de"
    " l'album, Nom de l'album, Álbum, Título del álbum, Nombre del álbum, Nome do álbum, Titolo album, アルバム, アルバム名, 专辑,"
    " 专辑名, 專輯, 앨범, Альбом, Release",
    "year": "Year, Release Year, Original Release Date, Release Date, Album Release Date, Original Year, First Release Date,"
    " Recording Year, Publication Year, Jahr, Erscheinungsjahr, Veröffentlichungsjahr, Erscheinungsdatum,"
    " Veröffentlichungsdatum, Veröffentlicht, Veröffentlicht am, Année, Année de sortie, Date de sortie, Date de parution, Año,"
    " Ano, Fecha de lanzamiento, Fecha de publicación, Data de lançamento, Anno, Data di uscita, Data di pubblicazione, 年, 発売日,"
    " 発売年, リリース日, リリース年, 发行日期, 发行年份, 發行日期, 发行时间, 발매일, Год, Год выпуска, Дата выхода, Rok, Jaar, Released,"
    " Publication Date, Date, Datum",
    "isrc": "ISRC, ISRC Code, ISRC Number, ISRC-Code, ISRC Nummer, Code ISRC, Código ISRC, Codice ISRC, ISRCコード, Track ISRC",
    "mbid": "MBID, MusicBrainz Recording ID, MusicBrainz ID, MusicBrainz Track ID, Recording MBID, Track MBID",
    "duration_s": "Duration s, Duration, Track Duration, Length, Track Length, Song Length, Duration ms, Duration (ms), Duration"
    " (s), Duration (sec), Duration seconds, Duration in seconds, Length seconds, Length (s), Length (ms), Duration min, Time,"
    " Total Time, Runtime, Running Time, Play Time, Playtime, Dauer, Dauer (s), Dauer (ms), Dauer (min), Titeldauer, Länge,"
    " Laenge, Spieldauer, Spielzeit, Spiellänge, Laufzeit, Durée, Durée (s), Longueur, Duración, Duración (s), Duração, Durata,"
    " Lunghezza, 再生時間, 演奏時間, 長さ, 時間, 时长, 時長, 时间, 재생시간, Длительность, Продолжительность, Czas, Duur",
    "language": "Language, Track Language, Lyrics Language, Lang, Language Code, Sprache, Langue, Idioma, Lingua, 言語, 语言, 語言,"
    " 语种, 언어, Язык, Język, Taal",
    "tags": "Tags, Tag, Genre(s), Genres, Genre, Primary Genre, Main Genre, Genre/Style, Style, Styles, Keywords, Moods, Mood,"
    " Genre/Mood, Musikrichtung, Stil, Schlagworte, Stichworte, Stimmung, Genre musical, Mots-clés, Género, Géneros, Gênero,"
    " Gênero musical, Etiquetas, Palabras clave, Genere, Generi, ジャンル, 流派, 风格, 類型, 曲风, 장르, Жанр, Gatunek",
    "text": "Description, Track Description, Beschreibung, Descripción, Descrição, Descrizione, 説明, 描述, 简介, 설명, Описание",
    "audio": "Audio, Audio File, Audio Path, File Path, Filepath, File Name, Filename, File, Path, Datei, Dateiname, Dateipfad,"
    " Audiodatei, Pfad, Fichier, Nom du fichier, Archivo, Nombre de archivo, Arquivo, Nome file, ファイル, ファイル名, 文件, 文件名",
}


def _folded(name: str) -> str:
    """Letters and digits alone, without case or accents."""
    plain = unicodedata.normalize("NFKD", name).casefold()
    return "".join(sign for sign in plain if sign.isalnum())


_FIELDS: dict[str, tuple[int, str]] = {}  # folded name → how likely, and our column
for _field, _listed in _NAMES.items():
    for _place, _name in enumerate(_listed.split(", ")):
        _FIELDS.setdefault(_folded(_name), (_place, _field))


@dataclass(frozen=True)
class ColumnMap:
    """Our columns → the file's; `guessed` are those nobody named, `ids_made` says that the file has no ids."""

    columns: dict[str, str]
    guessed: frozenset[str] = frozenset()
    ids_made: bool = False
    notes: tuple[str, ...] = field(default=())

    @property
    def is_guess(self) -> bool:
        """Whether a needed column rests on a guess."""
        return self.ids_made or bool(self.guessed & set(NEEDED))

    def lines(self) -> list[str]:
        """The map in words, a line a column."""
        made = ["track_id: the file has none; made from the ISRC, else from artist, title, album and length"]
        told = [
            f"{ours}: {theirs!r}{' (a guess)' if ours in self.guessed else ''}" for ours, theirs in self.columns.items()
        ]
        return (made if self.ids_made else []) + told


def field_of(name: str) -> str | None:
    """Our column that a column of this name is likeliest to be."""
    found = _FIELDS.get(_folded(name))
    return found[1] if found else (exact if (exact := name.strip().casefold()) in OURS else None)


def map_columns(
    thing: str,
    header: Sequence[str],
    named: Mapping[str, str],
    *,
    guess: bool,
    unusable: Mapping[str, Collection[str]] | None = None,
) -> ColumnMap:
    """The map of a file's columns: those `named` (ours → theirs), our own names, and with `guess` the likeliest.

    `unusable` are columns of the file that no guess may take for one of ours. CatalogueError when two columns are one of ours, or a
    needed one is nowhere.
    """
    for ours in named:
        if ours not in OURS:
            raise UsageError(f"column {ours!r}", "not one of ours", f"map one of: {', '.join(OURS)}")
    columns, notes = {}, []
    for ours, theirs in named.items():
        columns[ours] = _only(
            thing, ours, [name for name in header if name.strip() == theirs.strip()] or _alike(header, theirs)
        )
    for ours in OURS:
        if ours not in columns and (alike := _alike(header, ours, taken=columns.values())):
            columns[ours] = _only(thing, ours, alike)
    guessed: set[str] = set()
    if guess:
        rivals: dict[str, list[tuple[int, str]]] = {}
        for theirs in header:
            found = _FIELDS.get(_folded(theirs))
            if not found or found[1] in columns or theirs in columns.values():
                continue
            if theirs not in (unusable or {}).get(found[1], ()):
                rivals.setdefault(found[1], []).append((found[0], theirs))
        for ours in (name for name in OURS if name in rivals):
            first, *others = sorted(rivals[ours])
            columns[ours] = _only(thing, ours, [first[1], *(name for place, name in others if place == first[0])])
            guessed.add(ours)
            if others:
                rest = ", ".join(repr(name) for _, name in others)
                notes.append(
                    f"{ours} is read from {first[1]!r}; {rest} goes into extra (--map {ours}=NAME takes another)"
                )
    for name, count in Counter(name for name in header if name not in columns.values()).items():
        if count > 1:
            raise _twice(thing, name, count)
    missing = [name for name in NEEDED if name not in columns]
    ids_made = guess and missing == ["track_id"]
    if missing and not ids_made:
        found_names = ", ".join(header[:20])
        cure = f"rename one of them, or say which it is: --column {missing[0]}=NAME"
        raise CatalogueError(thing, f"no column {' or '.join(missing)}; found {found_names}", cure)
    ordered = {ours: columns[ours] for ours in OURS if ours in columns}
    return ColumnMap(ordered, frozenset(guessed), ids_made, tuple(notes))


def _alike(header: Sequence[str], name: str, taken: Iterable[str] = ()) -> list[str]:
    return [theirs for theirs in header if theirs.strip().casefold() == name.strip().casefold() and theirs not in taken]


def _only(thing: str, ours: str, names: Sequence[str]) -> str:
    """The one column of these; CatalogueError when it stands twice, or is not there."""
    if not names:
        raise CatalogueError(thing, f"it has no column for {ours} of that name", "correct --map, or the file's header")
    if len(names) > 1:
        raise _twice(thing, " and ".join(dict.fromkeys(map(repr, names))), len(names), ours)
    return names[0]


def _twice(thing: str, name: str, count: int, ours: str | None = None) -> CatalogueError:
    times = "twice" if count == 2 else f"{count} times"
    cure = f", or say which it is: --map {ours}=NAME" if ours else ""
    return CatalogueError(thing, f"the column {name} stands {times}", f"rename or remove all but one{cure}")
