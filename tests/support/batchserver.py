"""A loopback server for tests that speaks OpenAI's Files, Batches and Chat Completions, with faults as scripted."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs, urlsplit

from chatserver import completion, json_reply
from loopback import Asked, Loopback, Reply

Body = dict[str, Any]


@dataclass
class Ending:
    """How a batch ends: lines of its two files, its status, and what it counts as completed (None: its answers)."""

    output: list[Any] = field(default_factory=list)
    errors: list[Any] = field(default_factory=list)
    status: str = "completed"
    completed: int | None = None
    counted: bool = True
    refused: list[Body] = field(default_factory=list)


@dataclass
class Fault:
    """What happens to the next `times` requests of this method and path. `done`: the server does its work all the same.

    `status` 0 breaks the connection off without an answer; `cut` sends only so many bytes of the answer.
    """

    method: str
    path: str
    status: int = 0
    times: int = 1
    done: bool = False
    cut: int | None = None
    headers: dict[str, str] = field(default_factory=dict)
    body: str = '{"error": {"message": "trouble", "code": null}}'


def fitting(body: Body) -> str:
    """What fits the schema of genworld's packs, and tells which request it answers."""
    return json.dumps({"aspects": [], "caption": body["messages"][-1]["content"]})


def answered(line: Body, content: str | None = None, status: int = 200, **usage: int) -> Body:
    """The output line of one request line."""
    body = json.loads(completion(content or fitting(line["body"])))
    body["usage"].update(usage)
    response = {"status_code": status, "request_id": f"req-{line['custom_id'][:8]}", "body": body}
    return {"id": "batch_req_1", "custom_id": line["custom_id"], "response": response, "error": None}


def refused(line: Body, status: int, message: str) -> Body:
    """The error line of a request that a model was asked for in vain."""
    body = {"error": {"message": message, "code": None}}
    response = {"status_code": status, "request_id": "req-x", "body": body}
    return {"id": "batch_req_2", "custom_id": line["custom_id"], "response": response, "error": None}


def never_begun(line: Body, code: str = "batch_expired") -> Body:
    error = {"code": code, "message": "This request could not be executed in time."}
    return {"id": "batch_req_3", "custom_id": line["custom_id"], "response": None, "error": error}


def answer_all(lines: list[Body]) -> Ending:
    return Ending([answered(line) for line in lines])


class BatchServer(Loopback):
    """`with BatchServer() as server:`; a batch ends, as `end(lines)` says, when it was looked at `looks` times.

    `bills` counts how often each custom_id was answered in a batch; `online` are the bodies of single calls.
    """

    def __init__(self, end: Callable[[list[Body]], Ending] = answer_all, *, looks: int = 1, page: int = 100) -> None:
        super().__init__(self._handle)
        self.end, self.looks, self.page = end, looks, page
        self.faults: list[Fault] = []
        self.files: dict[str, Body] = {}
        self.contents: dict[str, bytes] = {}
        self.batches: dict[str, Body] = {}
        self.bills: Counter[str] = Counter()
        self.online: list[Body] = []
        self._looked: Counter[str] = Counter()

    def asked(self, method: str, path: str) -> list[Asked]:
        """Requests of this method whose path (without query) is this pattern."""
        return [a for a in self.log if a.method == method and re.fullmatch(path, urlsplit(a.path).path)]

    def lines(self, file_id: str) -> list[Body]:
        return [json.loads(line) for line in self.contents[file_id].splitlines()]

    def _handle(self, asked: Asked) -> Reply:
        path = urlsplit(asked.path).path
        asked.headers = {name.lower(): value for name, value in asked.headers.items()}
        for fault in self.faults:
            if fault.times > 0 and fault.method == asked.method and re.fullmatch(fault.path, path):
                fault.times -= 1
                return self._trouble(fault, asked, path)
        return self._serve(asked, path)

    def _trouble(self, fault: Fault, asked: Asked, path: str) -> Reply:
        reply = self._serve(asked, path) if fault.done or fault.cut is not None else None
        if fault.cut is not None and reply is not None:
            body = reply.body.encode() if isinstance(reply.body, str) else reply.body
            return Reply(body[: fault.cut], headers={"Content-Length": str(len(body)), "Connection": "close"})
        if not fault.status:
            raise ConnectionResetError
        return json_reply(fault.body, fault.status, **fault.headers)

    def _serve(self, asked: Asked, path: str) -> Reply:
        query = parse_qs(urlsplit(asked.path).query)
        match asked.method, path.removeprefix("/v1").strip("/").split("/"):
            case "POST", ["files"]:
                return self._upload(asked)
            case "GET", ["files"]:
                return self._list(list(self.files.values()), query)
            case "GET", ["files", name, "content"]:
                if name not in self.contents:
                    return _gone(name)
                return Reply(self.contents[name], headers={"Content-Type": "application/octet-stream"})
            case "POST", ["batches"]:
                return self._create(json.loads(asked.body))
            case "GET", ["batches"]:
                return self._list(list(self.batches.values()), query)
            case "GET", ["batches", name]:
                return json_reply(json.dumps(self._look(name))) if name in self.batches else _gone(name)
            case "POST", ["batches", name, "cancel"]:
                return self._cancel(name) if name in self.batches else _gone(name)
            case "POST", ["chat", "completions"]:
                body = json.loads(asked.body)
                self.online.append(body)
                return json_reply(completion(fitting(body)))
        return json_reply('{"error": {"message": "no such route"}}', 404)

    def _upload(self, asked: Asked) -> Reply:
        boundary = asked.headers["content-type"].partition("boundary=")[2].encode()
        for part in asked.body.split(b"--" + boundary):
            head, _, content = part.partition(b"\r\n\r\n")
            if named := re.search(rb'filename="([^"]+)"', head):
                return self._keep(named[1].decode(), content[:-2], "batch")
        return json_reply('{"error": {"message": "no file"}}', 400)

    def _keep(self, name: str, content: bytes, purpose: str) -> Reply:
        file_id = f"file-{len(self.files) + 1}"
        self.contents[file_id] = content
        self.files[file_id] = {
            "id": file_id, "object": "file", "bytes": len(content), "created_at": 0, "filename": name,
            "purpose": purpose, "status": "processed",
        }  # fmt: skip
        return json_reply(json.dumps(self.files[file_id]))

    def _list(self, entries: list[Body], query: dict[str, list[str]]) -> Reply:
        entries = entries[::-1]  # the newest first
        after = query.get("after", [""])[0]
        start = next((n for n, entry in enumerate(entries, 1) if entry["id"] == after), 0)
        data = entries[start : start + self.page]
        more = start + self.page < len(entries)
        return json_reply(json.dumps({"object": "list", "data": data, "has_more": more}))

    def _create(self, body: Body) -> Reply:
        name = f"batch_{len(self.batches) + 1}"
        self.batches[name] = {
            "id": name, "object": "batch", "created_at": 0, "status": "validating", "request_counts": None, **body,
        }  # fmt: skip
        return json_reply(json.dumps(self.batches[name]))

    def _look(self, name: str) -> Body:
        batch = self.batches[name]
        self._looked[name] += 1
        if batch["status"] in ("validating", "in_progress"):
            batch["status"] = "in_progress"
            if self._looked[name] >= self.looks:
                self._finish(batch, self.end(self.lines(batch["input_file_id"])))
        elif batch["status"] == "cancelling":
            ending = self.end(self.lines(batch["input_file_id"]))
            ending.status = "cancelled"
            self._finish(batch, ending)
        return batch

    def _finish(self, batch: Body, ending: Ending) -> None:
        batch["status"] = ending.status
        good = [line for line in ending.output if isinstance(line, dict) and line.get("response")]
        self.bills.update(line["custom_id"] for line in good)
        for key, lines in (("output_file_id", ending.output), ("error_file_id", ending.errors)):
            if lines:
                text = "".join(f"{line if isinstance(line, str) else json.dumps(line)}\n" for line in lines)
                self._keep(f"{batch['id']}_{key}.jsonl", text.encode(), "batch_output")
                batch[key] = f"file-{len(self.files)}"
        if ending.refused:
            batch["errors"] = {"object": "list", "data": ending.refused}
        if ending.counted:
            completed = len(good) if ending.completed is None else ending.completed
            total = len(self.lines(batch["input_file_id"]))
            batch["request_counts"] = {"total": total, "completed": completed, "failed": len(ending.errors)}

    def _cancel(self, name: str) -> Reply:
        if self.batches[name]["status"] not in ("validating", "in_progress"):
            return json_reply('{"error": {"message": "it has ended"}}', 409)
        self.batches[name]["status"] = "cancelling"
        return json_reply(json.dumps(self.batches[name]))


def _gone(name: str) -> Reply:
    return json_reply(json.dumps({"error": {"message": f"no such object: {name}"}}), 404)
