"""One verb on this host: `python3 -m launch.tpu.host VERB --attempt=N`.

It answers with one line of JSON behind a mark; `log` with the log.
"""

import argparse
import json

from launch.tpu.host import job, log, packages, places

MARK = '@scale4d '
VERBS = ('prepare', 'install', 'start', 'run', 'state', 'stop', 'log')


def main():
  """Does it, then says how this host stands."""
  parser = argparse.ArgumentParser()
  parser.add_argument('verb', choices=VERBS)
  parser.add_argument('--attempt', type=int, default=0)
  parser.add_argument('--hosts', default='', help='addresses, in order')
  parser.add_argument('--kill', action='store_true')
  parser.add_argument('--offset', type=int, default=0)
  parser.add_argument('--follow', action='store_true')
  args = parser.parse_args()
  hosts = args.hosts.split(',')
  if args.verb == 'install':
    packages.install()
  elif args.verb == 'run':
    job.run(args.attempt, hosts)
  elif args.verb == 'log':
    log.show(args.attempt, args.offset, args.follow)
  else:
    if args.verb == 'prepare':
      packages.prepare()
    elif args.verb == 'start':
      job.start(args.attempt, hosts)
    elif args.verb == 'stop':
      job.stop(args.attempt, args.kill)
    print(f'{MARK}{json.dumps(answer(args.attempt))}', flush=True)


def answer(attempt):
  """How this host stands."""
  state = job.state(attempt)
  code, time = job.end(attempt) if state in ('ended', 'killed') else (0, 0.0)
  logs = (places.attempt(attempt) / 'log', places.HOME / 'install.log')
  return {
    'address': places.address(),
    'code': places.CODE.name,
    'prepared': packages.state(),
    'unit': state,
    'exit': code,
    'time': time,
    'joins': job.joins(attempt),
    'last': next(filter(None, map(places.last_line, logs)), ''),
  }


if __name__ == '__main__':
  main()
