"""The page's server in a thread of the test, and questions to it without a browser."""

import json
import threading
from http.client import HTTPConnection

from app import page_server
from depth.options.page import PageOptions


def served(checkpoint, folder, **options):
    """A server that answers, until `shutdown`."""
    server = page_server(PageOptions(checkpoint=str(checkpoint), port=0, device="cpu", **options), folder)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server


def ask(server, method, path, body=b"", **headers):
    connection = HTTPConnection("127.0.0.1", server.server_port, timeout=60)
    connection.request(method, path, body, headers)
    answer = connection.getresponse()
    return answer.status, json.loads(answer.read())
