"""How servers, libraries and Python write a key; and every byte of a folder that could hold one."""

from __future__ import annotations

import base64
import gzip
import html
import json
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote, quote_plus

import polars as pl
from backports import zstd


def spellings(key: str) -> list[str]:
    """Each as a text; some may be equal."""
    hexadecimal = [f"{ord(character):02x}" for character in key]
    json_text = json.dumps(key)[1:-1]
    found = [
        key, key.lower(), key.upper(), key.swapcase(),
        quote(key, safe=""), quote(key, safe="").lower(), quote(key), quote_plus(key),
        quote(quote(key, safe=""), safe=""),
        "".join(f"%{code}" for code in hexadecimal), "".join(f"%{code.upper()}" for code in hexadecimal),
        "".join(f"%{code}" if n % 2 else key[n] for n, code in enumerate(hexadecimal)),
        json_text, json_text.replace("/", "\\/"), json.dumps(json_text)[1:-1],
        quote(json_text.replace("/", "\\/"), safe=""),
        "".join(f"\\u00{code}" for code in hexadecimal), "".join(f"\\u00{code.upper()}" for code in hexadecimal),
        "".join(f"\\\\u00{code}" for code in hexadecimal), "".join(f"\\x{code}" for code in hexadecimal),
        html.escape(key), html.escape(html.escape(key)), key.replace("/", "&sol;").replace("+", "&plus;"),
        "".join(f"&#{ord(character)};" for character in key), "".join(f"&#x{code};" for code in hexadecimal),
        repr(key)[1:-1], repr(key.encode())[2:-1], key.encode("unicode_escape").decode(), key.encode().hex(),
    ]  # fmt: skip
    for before, after in (("", ""), ("user:", ""), ("u:", ""), ("me@example.org:", ""), ("", ":"), ("token=", "&x=1")):
        packed = base64.b64encode(f"{before}{key}{after}".encode()).decode()
        found += [packed, packed.rstrip("="), packed.translate(str.maketrans("+/", "-_"))]
        found += [packed.replace("/", "\\/"), quote(packed, safe="")]
    return found


def traces(folder: Path, keys: list[str]) -> list[str]:
    """Where in the folder which spelling of a key stands: in files, packed or not, and in all that tables hold."""
    wanted = {spelling.encode() for key in keys for spelling in spellings(key)}
    found = []
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        found += [f"{path.name}: the file's name" for each in wanted if each in path.name.encode()]
        for content in contents(path):
            found += [f"{path.relative_to(folder)}: {each!r}" for each in wanted if each in content]
    return found


def contents(path: Path) -> Iterator[bytes]:
    data = path.read_bytes()
    yield data
    if data.startswith(b"\x1f\x8b"):
        yield gzip.decompress(data)
    if path.suffix == ".parquet":
        yield json.dumps(pl.read_parquet(path).to_dicts(), default=str, ensure_ascii=False).encode()
    if data.startswith(b"SQLite format 3"):
        with sqlite3.connect(path) as connection:
            tables = [row[0] for row in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
            for table in tables:
                for row in connection.execute(f"SELECT * FROM {table}"):
                    for value in row:
                        blob = value if isinstance(value, bytes) else str(value).encode("utf-8", "surrogatepass")
                        yield zstd.decompress(blob) if blob.startswith(b"\x28\xb5\x2f\xfd") else blob
