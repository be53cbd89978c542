"""RequestMaker: request bodies and keys of one pack on one endpoint, with all constant parts serialised once."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence

from sourcing.generation.endpoint.dialect import fit_body
from sourcing.generation.endpoint.endpoint import Endpoint
from sourcing.generation.packs.pack import Pack
from sourcing.generation.wire import KEY_VERSION, canonical_json, ordered_json, request_body

__all__ = ["RequestMaker"]

_quote = json.JSONEncoder(ensure_ascii=False).encode


class RequestMaker:
    """Fast equivalent of `request_body`, `fit_body` and `request_key` (the definition): only messages and seed vary."""

    def __init__(self, pack: Pack, endpoint: Endpoint) -> None:
        body = request_body(
            endpoint.model,
            [],
            schema_name=pack.id,
            schema=pack.output,
            sampling=pack.sampling.parameters(),
            sample_idx=0,
        )
        skeleton = fit_body(body, endpoint.dialect)
        self._seed = int(skeleton["seed"])
        self._ordered = [(name, ordered_json(value)) for name, value in skeleton.items()]
        self._canonical = [(name, canonical_json(value)) for name, value in sorted(skeleton.items())]
        self._before = f'"endpoint":{_quote(endpoint.identity)},"key_version":{KEY_VERSION},"sample_idx":'
        self._after = f',"schema_as_ordered":{_quote(ordered_json(skeleton["response_format"]))}}}'

    def make(self, messages: Sequence[Mapping[str, str]], sample_idx: int) -> tuple[str, bytes]:
        """Request key (64 hex digits) and serialised body of one sample."""
        seed = str(self._seed + sample_idx)
        varying_values = {"messages": ordered_json(messages), "seed": seed}
        canonical = {"messages": canonical_json(messages), "seed": seed}
        material = f'{{"body":{_join(self._canonical, canonical)},{self._before}{sample_idx}{self._after}'
        key = hashlib.sha256(material.encode("utf-8", "surrogatepass")).hexdigest()
        try:
            return key, _join(self._ordered, varying_values).encode()
        except UnicodeEncodeError:  # half a surrogate pair: only an escape can carry it, see `body_bytes`
            varying_values["messages"] = json.dumps(messages, separators=(",", ":"))
            return key, _join(self._ordered, varying_values).encode()


def _join(parts: list[tuple[str, str]], varying: Mapping[str, str]) -> str:
    return "{" + ",".join(f'"{name}":{varying.get(name, text)}' for name, text in parts) + "}"
