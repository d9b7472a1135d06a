"""A stand-in of a cluster's HTTP API on loopback, which the real kubectl asks.

It keeps what it is given, and validates nothing: it has neither the webhooks
nor the controllers of JobSet and Kueue. What they would say, tests write.
"""

import http.server
import json
import re
import shutil
import threading
import urllib.parse

import pytest

JOBSETS = 'jobset.x-k8s.io/v1alpha2'
KUEUE = 'kueue.x-k8s.io/v1beta2'
KINDS = {
  JOBSETS: {'jobsets': 'JobSet'},
  KUEUE: {'localqueues': 'LocalQueue', 'workloads': 'Workload'},
  'v1': {'pods': 'Pod', 'namespaces': 'Namespace'},
}
NO_KUBECTL = 'kubectl is not on PATH'


# The server validates fields itself, as all since Kubernetes 1.27 do.
_OPENAPI_LIST = {
  'paths': {f'apis/{JOBSETS}': {'serverRelativeURL': f'/openapi/v3/{JOBSETS}'}}
}
_OPENAPI = {
  'openapi': '3.0.0',
  'info': {'title': 'Kubernetes', 'version': 'v1.32'},
  'paths': {
    f'/apis/{JOBSETS}/namespaces/{{namespace}}/jobsets/{{name}}': {
      'patch': {
        'parameters': [{'name': 'fieldValidation', 'in': 'query'}],
        'x-kubernetes-group-version-kind': {
          **{'group': 'jobset.x-k8s.io', 'version': 'v1alpha2'},
          'kind': 'JobSet',
        },
      }
    }
  },
}


class Cluster(http.server.ThreadingHTTPServer):
  """What the API would hold.

  Attributes:
    objects: (plural, name) -> object.
    asked: 'METHOD path' of each request.
    refuse: 'METHOD path' as a pattern -> (code, message).
    kinds: as KINDS; less, where something is not installed.
    logs: pod -> text.
  """

  def __init__(self):
    super().__init__(('127.0.0.1', 0), _Handler)
    self.objects, self.asked, self.refuse, self.logs = {}, [], {}, {}
    self.kinds = dict(KINDS)

  def put(self, plural, value):
    self.objects[plural, value['metadata']['name']] = value

  @property
  def url(self):
    return f'http://127.0.0.1:{self.server_port}'


class _Handler(http.server.BaseHTTPRequestHandler):
  def log_message(self, *_):
    pass

  def _answer(self, value, code=200):
    data = value.encode() if isinstance(value, str) else None
    data = json.dumps(value).encode() if data is None else data
    self.send_response(code)
    kind = 'text/plain' if isinstance(value, str) else 'application/json'
    self.send_header('Content-Type', kind)
    self.send_header('Content-Length', f'{len(data)}')
    self.end_headers()
    self.wfile.write(data)

  def _status(self, code, reason, message):
    self._answer(
      {
        **{'kind': 'Status', 'apiVersion': 'v1', 'status': 'Failure'},
        **{'code': code, 'reason': reason, 'message': message},
      },
      code,
    )

  def _do(self):
    cluster = self.server
    url = urllib.parse.urlparse(self.path)
    asked = f'{self.command} {url.path}'
    cluster.asked.append(asked)
    length = int(self.headers.get('Content-Length') or 0)
    body = self.rfile.read(length)
    for pattern, (code, message) in cluster.refuse.items():
      if re.fullmatch(pattern, asked):
        reasons = {401: 'Unauthorized', 403: 'Forbidden', 404: 'NotFound'}
        self._status(code, reasons.get(code, 'Invalid'), message)
        return
    query = urllib.parse.parse_qs(url.query)
    parts = url.path.strip('/').split('/')
    if parts == ['api']:
      self._answer({'kind': 'APIVersions', 'versions': ['v1']})
    elif parts == ['apis']:
      self._answer({'kind': 'APIGroupList', 'groups': self._groups()})
    elif parts[0] == 'openapi':
      self._answer(_OPENAPI if parts[2:] else _OPENAPI_LIST)
    elif parts[0] not in ('api', 'apis'):
      self._status(404, 'NotFound', 'there is none')
    else:
      version = '/'.join(parts[1:2] if parts[0] == 'api' else parts[1:3])
      rest = parts[2:] if parts[0] == 'api' else parts[3:]
      if version not in cluster.kinds:
        self._status(404, 'NotFound', 'there is none')
      elif not rest:
        self._answer(self._resources(version))
      else:
        if rest[0] == 'namespaces' and len(rest) > 2:
          rest = rest[2:]
        self._object(version, rest, query, body)

  do_GET = do_POST = do_DELETE = _do  # noqa: N815 (http.server's names)

  def _groups(self):
    return [
      {
        'name': version.split('/')[0],
        'versions': [
          {'groupVersion': version, 'version': version.split('/')[1]}
        ],
      }
      for version in self.server.kinds
      if '/' in version
    ]

  def _resources(self, version):
    return {
      **{'kind': 'APIResourceList', 'apiVersion': 'v1'},
      'groupVersion': version,
      'resources': [
        {
          **{'name': plural, 'singularName': kind.lower(), 'kind': kind},
          'namespaced': plural != 'namespaces',
          'verbs': ['create', 'delete', 'get', 'list', 'watch'],
        }
        for plural, kind in self.server.kinds[version].items()
      ],
    }

  def _object(self, version, rest, query, body):
    objects = self.server.objects
    plural, *rest = rest
    kind = {'apiVersion': version, 'kind': self.server.kinds[version][plural]}
    if self.command == 'POST':
      made = json.loads(body)
      made['metadata'] |= {'uid': 'uid-1', 'creationTimestamp': 'now'}
      self.server.put(plural, made)
      self._answer(made, 201)
    elif rest and rest[1:] == ['log']:
      self._answer(self.server.logs[rest[0]])
    elif rest and (plural, rest[0]) not in objects:
      message = f'{plural} "{rest[0]}" not found'
      self._status(404, 'NotFound', message)
    elif self.command == 'DELETE':
      self._answer(kind | objects.pop((plural, rest[0])))
    elif rest:
      self._answer(kind | objects[plural, rest[0]])
    else:
      wanted = dict(
        each.split('=')
        for each in query.get('labelSelector', [''])[0].split(',')
        if each
      )
      # kubectl waits for a deletion by the name of what it watches.
      (field,) = query.get('fieldSelector', [''])
      name = field.removeprefix('metadata.name=')
      items = [
        kind | value
        for (each, _), value in objects.items()
        if each == plural
        and wanted.items() <= value['metadata'].get('labels', {}).items()
        and (not name or value['metadata']['name'] == name)
      ]
      self._answer(
        {
          **{'apiVersion': version, 'kind': f'{kind["kind"]}List'},
          **{'metadata': {'resourceVersion': '1'}, 'items': items},
        }
      )


@pytest.fixture
def home(tmp_path, monkeypatch):
  """kubectl knows no cluster, and leaves nothing behind."""
  if not shutil.which('kubectl'):
    pytest.skip(NO_KUBECTL)
  monkeypatch.setenv('HOME', str(tmp_path))
  monkeypatch.delenv('KUBECONFIG', raising=False)
  return tmp_path


@pytest.fixture
def cluster(home):
  """kubectl's current cluster."""
  with Cluster() as server:
    threading.Thread(target=server.serve_forever, daemon=True).start()
    config = {
      **{'apiVersion': 'v1', 'kind': 'Config', 'current-context': 'here'},
      'clusters': [{'name': 'here', 'cluster': {'server': server.url}}],
      'users': [{'name': 'me', 'user': {}}],
      'contexts': [
        {'name': 'here', 'context': {'cluster': 'here', 'user': 'me'}}
      ],
    }
    (home / '.kube').mkdir()
    (home / '.kube' / 'config').write_text(json.dumps(config))
    yield server
    server.shutdown()
