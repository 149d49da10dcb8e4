"""A small web server for tests of fetching: it counts requests, breaks off transfers, and knows
parts of files.
"""

import re
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Server:
    """files: content by path (with the query). asked: (path, Range, Authorization) of each request
    so far.

    cut: after how many bytes of a body the next answers for a path break off. status: what a path
    answers instead. moved: where a path leads to. parts: whether Range is understood. links: the
    header Link of a path. shift: bytes by which a part begins later than was asked for.
    """

    def __init__(self):
        self.files, self.asked, self.cut, self.status, self.moved, self.links = (
            {},
            [],
            {},
            {},
            {},
            {},
        )
        self.parts, self.shift = True, 0
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                outer.answer(self)

            def log_message(self, *_):
                pass

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.http.server_address[1]}"
        threading.Thread(target=self.http.serve_forever, args=[0.01], daemon=True).start()

    def close(self):
        self.http.shutdown()
        self.http.server_close()

    def answer(self, request):
        path, wanted = request.path, request.headers.get("Range")
        self.asked.append((path, wanted, request.headers.get("Authorization")))
        if path in self.moved:
            request.send_response(302)
            request.send_header("Location", self.moved[path])
            request.send_header("Content-Length", "0")
            request.end_headers()
            return
        if path in self.status or path not in self.files:
            request.send_error(self.status.get(path, 404))
            return
        body = self.files[path]
        start = int(re.fullmatch(r"bytes=(\d+)-", wanted)[1]) if wanted and self.parts else 0
        start += self.shift if start else 0
        if start and start >= len(body):
            request.send_error(416)
            return
        request.send_response(206 if start else 200)
        if start:
            request.send_header("Content-Range", f"bytes {start}-{len(body) - 1}/{len(body)}")
        if path in self.links:
            request.send_header("Link", self.links[path])
        request.send_header("Content-Length", str(len(body) - start))
        request.end_headers()
        cuts = self.cut.get(path, [])
        request.wfile.write(body[start:][: cuts.pop(0)] if cuts else body[start:])
        request.close_connection = True
