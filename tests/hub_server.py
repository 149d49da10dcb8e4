"""As much of the Hugging Face hub as a client needs to push a folder: it keeps the files of each
commit, in memory.
"""

import base64
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


class Server(ThreadingHTTPServer):
    """`created`: what was asked of each new repository. files: content by repository and path.
    asked: method, path and Authorization of each request. status: what a path answers instead.
    seen: every body, to look for what must not be in one.
    """

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.created: list[dict[str, Any]] = []
        self.files: dict[str, dict[str, bytes]] = {}
        self.asked: list[tuple[str, str, str | None]] = []
        self.status: dict[str, int] = {}
        self.seen = b""
        self.address = f"http://127.0.0.1:{self.server_port}"

    def answer(self, path: str, body: bytes) -> dict[str, Any] | None:
        """Return what a request is answered; None for what is not known here."""
        if path == "/api/repos/create":
            given = json.loads(body)
            self.created.append(given)
            name = f"{given['organization']}/{given['name']}"
            self.files.setdefault(name, {})
            return {"url": f"{self.address}/{name}", "name": name}
        if path == "/api/validate-yaml":
            return {"errors": [], "warnings": []}
        parts = path.split("/")
        if len(parts) < 6 or parts[1:3] != ["api", "models"]:
            return None
        name = "/".join(parts[3:5])
        if parts[5] == "preupload":
            listed = json.loads(body)["files"]
            answers = []
            for file in listed:
                answers.append({"path": file["path"], "uploadMode": "regular"})
                answers[-1]["shouldIgnore"] = False  # type: ignore[assignment]
            return {"files": answers, "commitOid": "0" * 40}
        if parts[5] == "commit":
            for line in body.splitlines():
                entry = json.loads(line)
                if entry["key"] == "file":
                    content = base64.b64decode(entry["value"]["content"])
                    self.files[name][entry["value"]["path"]] = content
            return {
                "commitUrl": f"{self.address}/{name}/commit/{'1' * 40}",
                "commitOid": "1" * 40,
                "hookOutput": "",
                "success": True,
            }
        if parts[5] == "revision":
            return {"id": name, "sha": "0" * 40, "siblings": [], "tags": [], "private": True}
        return None


class Handler(BaseHTTPRequestHandler):
    """Reads a request, and answers what the server says."""

    protocol_version = "HTTP/1.1"
    server: Server

    def _go(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        path = self.path.partition("?")[0]
        self.server.seen += body
        self.server.asked.append((self.command, path, self.headers.get("Authorization")))
        status = self.server.status.get(path, 200)
        answer = self.server.answer(path, body) if status == 200 else None
        content = json.dumps(answer or {"error": "no"}).encode()
        self.send_response(200 if answer is not None else max(status, 404))
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    do_GET = do_POST = do_HEAD = do_PUT = _go

    def log_message(self, *_: Any) -> None:
        pass


@contextmanager
def hub() -> Iterator[Server]:
    """Give a server that runs until the end of the block."""
    server = Server()
    threading.Thread(target=server.serve_forever, args=[0.01], daemon=True).start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
