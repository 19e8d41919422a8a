"""A receiver of push notifications in Python, without any package: python3 receiver.py

WEBHOOK_SECRET is the `secret` of the config.
"""

import base64
import hashlib
import hmac
import json
import os
import re
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

SECRET = os.environ["WEBHOOK_SECRET"]
KEY = base64.b64decode(SECRET[6:]) if SECRET.startswith("whsec_") else SECRET.encode()
TOLERANCE_SECONDS = 300
MAX_BODY_BYTES = 32 * 1024 * 1024

# The notifications that were dealt with. Keep them where you keep what they did, and write both at once.
handled = set()


def is_genuine(headers, body):
    """Whether somebody who knows the secret sent exactly this, not long ago."""
    message_id = headers.get("webhook-id", "")
    timestamp = headers.get("webhook-timestamp", "")
    if not message_id or "." in message_id or not re.fullmatch("[0-9]{1,12}", timestamp):
        return False
    if abs(time.time() - int(timestamp)) > TOLERANCE_SECONDS:
        return False
    content = f"{message_id}.{timestamp}.".encode() + body
    expected = "v1," + base64.b64encode(hmac.new(KEY, content, hashlib.sha256).digest()).decode()
    # Several while a secret is being replaced.
    signatures = headers.get("webhook-signature", "").split(" ")
    return any(hmac.compare_digest(expected.encode(), signature.encode()) for signature in signatures)


def handle(payload):
    update = payload.get("statusUpdate")
    task = update or payload.get("artifactUpdate") or {}
    print(f"{task.get('taskId')}: {update['status']['state'] if update else 'artifactUpdate'}", flush=True)


class Receiver(BaseHTTPRequestHandler):
    def do_POST(self):
        length = int(self.headers.get("content-length") or 0)
        if length > MAX_BODY_BYTES:
            return self.answer(413)
        # The bytes as they came: JSON that was parsed and written again has another signature.
        body = self.rfile.read(length)
        if not is_genuine(self.headers, body):
            return self.answer(401)
        parsed = json.loads(body)
        single = {"id": self.headers["webhook-id"], "payload": parsed}
        for item in parsed if isinstance(parsed, list) else [single]:
            if item["id"] not in handled:
                handled.add(item["id"])
                handle(item["payload"])
        self.answer(204)

    def do_GET(self):
        url = urlsplit(self.path)
        if not url.path.endswith("/validate"):
            return self.answer(405)
        self.answer(200, parse_qs(url.query).get("challenge", [""])[0])

    def answer(self, status, text=""):
        self.send_response(status)
        if status != 204:
            self.send_header("content-type", "text/plain; charset=utf-8")
            self.send_header("content-length", str(len(text.encode())))
        self.end_headers()
        self.wfile.write(text.encode())

    def log_message(self, *_):
        """Nothing but what `handle` prints."""


if __name__ == "__main__":
    server = ThreadingHTTPServer(("127.0.0.1", int(os.environ.get("PORT", "8790"))), Receiver)
    print(f"Ready on http://127.0.0.1:{server.server_port}", flush=True)
    server.serve_forever()
