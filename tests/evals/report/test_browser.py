"""The page in a browser: nothing missing, no error, no sideways scrolling."""

import fcntl
import json
import os
import select
import shutil
import subprocess
import sys

import pytest

CHROMIUM = shutil.which('chromium') or shutil.which('google-chrome')
# Chromium talks on descriptors 3 and 4; Popen hands on others.
_LAUNCH = (
  'import os, sys; _, r, w, *argv = sys.argv;'
  'os.dup2(int(r), 3); os.dup2(int(w), 4); os.execv(argv[0], argv)'
)
_SECONDS = 60
pytestmark = [
  pytest.mark.browser,
  pytest.mark.skipif(
    not CHROMIUM, reason='chromium is not installed (apt-get install chromium)'
  ),
]


def _pipe():
  """Files to read and to write, not on descriptors that Chromium takes."""
  ends = []
  for low, mode in zip(os.pipe(), ('rb', 'wb')):
    ends.append(os.fdopen(fcntl.fcntl(low, fcntl.F_DUPFD, 10), mode))
    os.close(low)
  return ends


class Browser:
  """A headless Chromium, by its DevTools protocol over pipes."""

  def __init__(self, folder):
    (read, self._out), (self._in, write) = _pipe(), _pipe()
    ends = read.fileno(), write.fileno()
    command = [sys.executable, '-c', _LAUNCH, *map(str, ends), CHROMIUM]
    options = ['--headless', '--no-sandbox', '--disable-gpu']
    options += [f'--user-data-dir={folder}', '--remote-debugging-pipe']
    self._process = subprocess.Popen(
      [*command, *options, 'about:blank'],
      pass_fds=ends,
      stderr=subprocess.DEVNULL,
    )
    read.close()
    write.close()
    self._rest, self._count, self.events = b'', 0, []
    self._session = {}
    pages = self.call('Target.getTargets')['targetInfos']
    page = next(x for x in pages if x['type'] == 'page')['targetId']
    attached = self.call('Target.attachToTarget', targetId=page, flatten=True)
    self._session = {'sessionId': attached['sessionId']}
    for domain in ('Page', 'Log', 'Runtime', 'Network'):
      self.call(f'{domain}.enable')

  def call(self, method, **params):
    """The result of a command; events on the way are kept."""
    self._count += 1
    message = {'id': self._count, 'method': method, 'params': params}
    self._out.write(json.dumps(message | self._session).encode() + b'\0')
    self._out.flush()
    while True:
      answer = self._next()
      if answer.get('id') == self._count:
        assert 'error' not in answer, answer
        return answer['result']

  def _next(self):
    while b'\0' not in self._rest:
      ready, _, _ = select.select([self._in], [], [], _SECONDS)
      assert ready, f'Chromium said nothing for {_SECONDS} s'
      read = os.read(self._in.fileno(), 2**16)
      assert read, 'Chromium is gone'
      self._rest += read
    line, _, self._rest = self._rest.partition(b'\0')
    message = json.loads(line)
    if 'method' in message:
      self.events.append(message)
    return message

  def open(self, url, width):
    """Loads a page, as wide as it is told."""
    self.call(
      'Emulation.setDeviceMetricsOverride',
      **{'width': width, 'height': 800, 'mobile': width < 600},
      deviceScaleFactor=1,
    )
    self.events = []
    self.call('Page.navigate', url=url)
    while not any(x['method'] == 'Page.loadEventFired' for x in self.events):
      self._next()

  def evaluate(self, expression):
    """The value of some JavaScript."""
    found = self.call(
      'Runtime.evaluate', expression=expression, returnByValue=True
    )
    return found['result']['value']

  def errors(self):
    """What the console or the loading of the page complained of."""
    bad = ('Log.entryAdded', 'Runtime.exceptionThrown', 'Network.loadingFailed')
    console = 'Runtime.consoleAPICalled'
    return [x for x in self.events if x['method'] in (*bad, console)]

  def close(self):
    """Ends it."""
    self._out.write(b'{"id": 0, "method": "Browser.close"}\0')
    self._out.close()
    self._process.wait(timeout=20)
    self._in.close()


@pytest.fixture(scope='module')
def browser(tmp_path_factory):
  browser = Browser(tmp_path_factory.mktemp('chromium'))
  yield browser
  browser.close()


@pytest.mark.parametrize('width', [1280, 390], ids=['desktop', 'phone'])
def test_everything_loads_and_fits(browser, report, width):
  browser.open(f'file://{report}/index.html', width)
  assert browser.errors() == []
  images = browser.evaluate(
    '[...document.images].map(x => [x.src, x.complete && x.naturalWidth])'
  )
  assert len(images) > 8
  assert [src for src, wide in images if not wide] == []
  # Wide figures and tables scroll by themselves, the page does not.
  assert browser.evaluate('document.documentElement.scrollWidth') <= width


def test_a_missing_figure_would_be_noticed(browser, report, tmp_path):
  shutil.copytree(report, tmp_path / 'report')
  (tmp_path / 'report' / 'scaling.png').unlink()
  browser.open(f'file://{tmp_path}/report/index.html', 1280)
  assert browser.errors()
