"""What is made of what hosts say: who is missing, what is over or lost."""

import dataclasses

import pytest

from launch import machines as machines_lib
from launch.tpu import attempt, record
from launch.tpu.attempt import Pace
from launch.tpu.code import Pack
from launch.tpu.fleet import Fleet, Reply
from launch.tpu.machine import Host, Order, Phase, State
from launch.tpu.watch import Watch

QUICK = Pace(poll_sec=0.01, join_sec=0.0, grace_sec=0.0, silent_sec=0.05)
PACK = Pack(b'', 'code-1', 'commit x')


def running(**changes):
  return Reply(
    **{'prepared': 'yes', 'unit': 'running', 'exit': 0, 'time': 0.0}
    | {'joins': 'yes', 'last': 'step 3'}
    | changes
  )


def ended(code, time=1.0):
  return running(unit='ended', exit=code, time=time)


class Hosts(Fleet):
  """Three hosts, who say what the test has written for them.

  Each round is an answer of all; of None there is none. The last one stays.
  """

  def __init__(self, *rounds):
    hosts = [Host(n, 0, n, f'10.0.0.{n}') for n in range(3)]
    super().__init__(None, hosts, 'q', 'code-1')
    self.rounds, self.asked = list(rounds), []

  def tell(self, command, seconds=0.0):
    del seconds
    self.asked.append(command.partition('launch.tpu.host ')[2])
    replies = self.rounds[0]
    if len(self.rounds) > 1:
      self.rounds.pop(0)
    found = {n: each for n, each in enumerate(replies) if each is not None}
    for n in self.hosts:
      if n not in found:
        self.silence[n] = 'ssh: connect to host: Connection timed out'
    return found

  def copy(self, pack, processes):
    self.asked.append(f'copy to {processes}')


class Service:
  """Machines that are so."""

  def __init__(self, *states):
    self.states = list(states)

  def state(self):
    return self.states.pop(0) if len(self.states) > 1 else self.states[0]


READY = State(Phase.READY, 'ACTIVE')


@pytest.fixture
def wait(tmp_path, monkeypatch):
  """How an attempt ends on such hosts."""
  monkeypatch.chdir(tmp_path)
  order = Order('q', machines_lib.parse('v5p-32'), 1, 'spot', 60)
  values = dict.fromkeys(record._KINDS, '')
  values |= {'name': order.name, 'wanted': record.RUN, 'command': ['x']}
  values |= {'slices': 1, 'ssh_port': 22, 'wait_sec': 60, 'attempt': 4}
  values |= {'restarts': 0, 'forecast': {}}
  record.save(record.Record(**values))

  def make(hosts, service=None):
    service = service or Service(READY)
    return Watch(service, hosts, 'q', QUICK).wait(4)

  return make


def test_all_are_done(wait):
  hosts = Hosts(
    [running(), running(), running()],
    [ended(0, 3.0), running(), ended(0, 1.0)],
    [ended(0, 3.0), ended(0, 2.0), ended(0, 1.0)],
  )
  end = wait(hosts)
  # In the order in which they ended, whoever was seen first.
  assert end.ended == [(2, 0), (1, 0), (0, 0)]
  assert (end.lost, end.is_told) == ('', False)
  assert hosts.asked == ['state --attempt=4'] * 3


def test_those_that_go_on_beside_a_failed_one_are_ended_and_not_counted(wait):
  first = [ended(70), running(), running()]
  hosts = Hosts(*[first] * 5, [ended(70), ended(143, 2.0), ended(137, 1.5)])
  end = wait(hosts)
  assert end.ended == [(0, 70)]
  # However late it is, they are told first.
  stops = [each for each in hosts.asked if 'stop' in each]
  assert stops[:2] == ['stop --attempt=4', 'stop --attempt=4 --kill']


def test_what_nobody_could_write_down_is_the_cause(wait):
  killed = running(unit='killed', exit=137, time=0.0)
  end = wait(Hosts([ended(134, 5.0), killed, ended(134, 6.0)]))
  assert end.ended == [(1, 137), (0, 134), (2, 134)]


def test_machines_that_are_taken_away(wait):
  taken = State(Phase.LOST, 'SUSPENDED', 'the machines were taken away')
  hosts = Hosts([running(), running(), running()])
  end = wait(hosts, Service(READY, READY, taken))
  assert end.lost == 'SUSPENDED: the machines were taken away'


def test_a_host_that_is_silent_is_lost_but_not_at_once(wait, capsys):
  hosts = Hosts(
    [running(), None, running()],
    [running(), running(), running()],
    [running(), running(), None],
  )
  end = wait(hosts)
  assert end.lost.startswith('host 2 (slice 0, worker 2, 10.0.0.2) has not')
  assert 'host 1 (slice 0, worker 1, 10.0.0.1) did not answer' in (
    capsys.readouterr().out
  )


def test_where_no_host_answers_it_is_this_machine_that_is_cut_off(wait, capsys):
  rounds = [[None, None, None]] * 30
  hosts = Hosts(*rounds, [ended(0), ended(0), ended(0)])
  end = wait(hosts)
  assert (end.lost, len(end.ended)) == ('', 3)
  assert capsys.readouterr().out.count('is this machine cut off?') == 1


def test_a_host_for_which_the_others_wait_is_named(wait, capsys):
  waits = running(joins='waits')
  late = running(joins='no', last='reads the disk')
  done = [ended(0), ended(0), ended(0)]
  wait(Hosts([waits, late, waits], [running()] * 3, done))
  assert (
    'host 1 (slice 0, worker 1, 10.0.0.1) has not joined the others; last '
    'line of its log: reads the disk\n'
  ) in capsys.readouterr().out
  # A command that joins nobody has nobody to wait for.
  wait(Hosts([late, late, late], done))
  # Nor is one named when all have joined and a host's log is not read yet.
  wait(Hosts([running(), late, running()], done))
  assert 'not joined' not in capsys.readouterr().out


def test_somebody_asked_for_the_end(wait):
  record.change('q', wanted=record.STOP)
  assert wait(Hosts([ended(75), ended(75), ended(75)])).is_told


def test_all_hosts_must_have_said_that_they_run_it():
  hosts = Hosts([running(), running(), None], [running()] * 3)
  attempt.start(
    hosts, 1, dataclasses.replace(QUICK, join_sec=60.0), lambda: None
  )
  words = 'start --attempt=1 --hosts=10.0.0.0,10.0.0.1,10.0.0.2'
  assert hosts.asked == [words, words]


def test_a_partial_start_is_ended_and_names_who_is_missing():
  hosts = Hosts([running(), running(unit='none'), None])
  message = (
    r'attempt 1 did not start: host 2 \(slice 0, worker 2, 10.0.0.2\) did not '
    r'answer \(ssh: connect .* timed out\); 1 of 3 hosts had it'
  )
  with pytest.raises(ValueError, match=message):
    attempt.start(hosts, 1, QUICK, lambda: None)
  assert hosts.asked[-1] == 'stop --attempt=1 --kill'


def test_only_who_lacks_the_checkout_is_sent_it():
  hosts = Hosts([running(), None, running()], [running()] * 3)
  attempt.prepare(hosts, PACK, QUICK, lambda: None)
  assert hosts.asked[1] == 'copy to [1]'


def test_a_host_that_cannot_be_reached_is_named():
  hosts = Hosts([running(), None, running()])
  with pytest.raises(ValueError, match=r'host 1 .*timed out.*--through='):
    attempt.prepare(hosts, PACK, QUICK, lambda: None)


def test_a_host_that_cannot_install_is_named():
  failed = running(prepared='failed: No matching distribution for x')
  hosts = Hosts([running(), failed, running()])
  with pytest.raises(ValueError, match=r'host 1 .*: No matching .*--python='):
    attempt.prepare(hosts, PACK, QUICK, lambda: None)
