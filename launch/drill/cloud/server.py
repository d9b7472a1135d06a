"""HTTP of the stand-in: requests in, JSON out."""

import http.server
import json
import threading
from collections.abc import Callable
from typing import Any

Answer = Callable[[str, str, Any], tuple[int, Any]]
_STATUS = {
  400: 'FAILED_PRECONDITION',
  401: 'UNAUTHENTICATED',
  403: 'PERMISSION_DENIED',
  404: 'NOT_FOUND',
  409: 'ALREADY_EXISTS',
  429: 'RESOURCE_EXHAUSTED',
  503: 'UNAVAILABLE',
}


def error(status: int, message: str) -> tuple[int, Any]:
  """An answer as Google's services refuse something."""
  return status, {
    'error': {'code': status, 'message': message, 'status': _STATUS[status]}
  }


def serve(answer: Answer) -> http.server.ThreadingHTTPServer:
  """A server on loopback, in a thread of this process.

  Args:
    answer: (method, url, body) -> status and what to send as JSON.
  """

  class Handler(http.server.BaseHTTPRequestHandler):
    def _do(self):
      size = int(self.headers.get('Content-Length') or 0)
      body = self.rfile.read(size).decode()
      # The request for a token is no JSON.
      is_json = body.startswith(('{', '['))
      status, found = answer(
        self.command, self.path, json.loads(body) if is_json else body
      )
      data = json.dumps(found).encode()
      self.send_response(status)
      self.send_header('Content-Type', 'application/json')
      self.send_header('Content-Length', str(len(data)))
      self.end_headers()
      self.wfile.write(data)

    do_GET = do_POST = do_DELETE = do_PATCH = _do  # noqa: N815

    def log_message(self, *unused):
      """Nothing: who answers has seen them all."""

  server = http.server.ThreadingHTTPServer(('127.0.0.1', 0), Handler)
  threading.Thread(target=server.serve_forever, daemon=True).start()
  return server
