"""As much of a W&B server as a client needs to send runs to: it keeps what it is told, in memory,
and has no other sense.
"""

import gzip
import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

PROJECT = {"id": "P", "name": "p", "entity": {"id": "E", "name": "me"}}


class Server(ThreadingHTTPServer):
    """`runs` by id, each with history (lines), summary, config, name, group, job_type, exit and
    resumed.
    """

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.runs: dict[str, dict[str, Any]] = {}
        self.artifacts: list[str] = []
        self.seen = b""  # every body, to look for what must not be in one
        self.address = f"http://127.0.0.1:{self.server_port}"

    def answer(self, query: str, given: dict[str, Any]) -> dict[str, Any]:
        name = given.get("name")
        if "upsertBucket" in query:
            run = self.runs.setdefault(
                str(name), {"history": [], "summary": {}, "exit": None, "resumed": False}
            )
            config = {
                key: value["value"]
                for key, value in json.loads(given.get("config") or "{}").items()
            }
            # A later update of a run tells only what is new.
            told = {
                "name": given.get("displayName"),
                "group": given.get("groupName"),
                "job_type": given.get("jobType"),
            }
            run.update({key: value for key, value in told.items() if value}, config=config)
            run["config"].pop("_wandb", None)
            bucket = {
                "id": f"B{name}",
                "name": name,
                "displayName": run["name"],
                "project": PROJECT,
            }
            more = {
                "description": None,
                "config": "{}",
                "sweepName": None,
                "historyLineCount": len(run["history"]),
            }
            return {"upsertBucket": {"bucket": bucket | more, "inserted": True}}
        if "RunResumeStatus" in query:
            return {"model": PROJECT | {"bucket": self.resumable(str(name))}}
        if "createRunFiles" in query:
            files = [
                {"name": file, "uploadUrl": f"{self.address}/storage/{file}"}
                for file in given["files"]
            ]
            return {"createRunFiles": {"runID": "B", "uploadHeaders": [], "files": files}}
        if "createArtifact(" in query:
            told = given.get("input") or given
            self.artifacts.append(str(told.get("artifactTypeName")))
            sequence = {"id": "S", "latestArtifact": None}
            artifact = {
                "id": "A",
                "digest": told.get("digest"),
                "state": "COMMITTED",
                "aliases": [],
            }
            return {"createArtifact": {"artifact": artifact | {"artifactSequence": sequence}}}
        if "viewer" in query:
            return {
                "viewer": {
                    "id": "V",
                    "entity": "me",
                    "username": "me",
                    "flags": "{}",
                    "teams": {"edges": []},
                }
            }
        return {"serverInfo": {"features": [], "cliVersionInfo": {}}, "project": None}

    def resumable(self, name: str) -> dict[str, Any] | None:
        if (run := self.runs.get(name)) is None:
            return None
        run["resumed"] = True
        lines = {"logLineCount": 0, "eventsLineCount": 0, "historyLineCount": len(run["history"])}
        tails = {"historyTail": json.dumps(run["history"][-1:]), "eventsTail": "[]"}
        texts = {
            "summaryMetrics": json.dumps(run["summary"]),
            "config": "{}",
            "wandbConfig": '{"t":1}',
            "tags": [],
        }
        return {
            "id": f"B{name}",
            "name": name,
            "displayName": run["name"],
            **lines,
            **tails,
            **texts,
        }

    def stream(self, name: str, body: dict[str, Any]) -> None:
        run, files = self.runs[name], body.get("files") or {}
        if told := files.get("wandb-history.jsonl"):
            run["history"][told["offset"] : told["offset"] + len(told["content"])] = told["content"]
        if told := files.get("wandb-summary.json"):
            run["summary"] = json.loads(told["content"][-1])
        if body.get("complete"):
            run["exit"] = body["exitcode"]


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Server

    def body(self) -> bytes:
        if self.headers.get("Transfer-Encoding") == "chunked":
            found = b""
            while size := int(self.rfile.readline(), 16):
                found += self.rfile.read(size)
                self.rfile.readline()
            self.rfile.readline()
        else:
            found = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        found = gzip.decompress(found) if self.headers.get("Content-Encoding") == "gzip" else found
        self.server.seen += found
        return found

    def do_POST(self) -> None:
        body, answer = self.body(), {}
        if self.path == "/graphql":
            told = json.loads(body)
            answer = {"data": self.server.answer(told["query"], told.get("variables") or {})}
        elif found := re.fullmatch(r"/files/[^/]+/[^/]+/([^/]+)/file_stream", self.path):
            self.server.stream(found.group(1), json.loads(body))
        self.reply(answer)

    def do_PUT(self) -> None:
        self.body()
        self.reply({})

    def do_GET(self) -> None:
        self.reply({})

    def reply(self, answer: dict[str, Any]) -> None:
        text = json.dumps(answer).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def log_message(self, *_: Any) -> None:
        pass


@contextmanager
def serving() -> Iterator[Server]:
    """A server on a free port of this machine, for as long as the block lasts."""
    server = Server()
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
