"""Machines of a launch, whoever rents them out: words, and a few verbs.

No word here is of one kind of service: `queued.py` is the first backend.
"""

import dataclasses
import enum
import pathlib
from collections.abc import Sequence
from typing import Protocol

from launch import machines as machines_lib

TIERS = ('on-demand', 'spot', 'reserved')


class Phase(enum.Enum):
  """How far machines are."""

  ABSENT = 'not there'
  WAITING = 'waiting'
  MAKING = 'being made'
  READY = 'ready'
  LOST = 'taken away'
  FAILED = 'failed'
  LEAVING = 'being deleted'


@dataclasses.dataclass(frozen=True)
class Order:
  """What is rented.

  Attributes:
    name: of all of it.
    slice: of what.
    slices: how many alike.
    tier: one of TIERS.
    wait_sec: after which waiting for it is given up.
  """

  name: str
  slice: machines_lib.Slice
  slices: int
  tier: str
  wait_sec: int

  @property
  def hosts(self) -> int:
    """Machines of all slices, each a process."""
    return self.slices * self.slice.hosts('tpu_vm')

  def __str__(self) -> str:
    times = f'{self.slices} x ' if self.slices > 1 else ''
    chips = self.slices * self.slice.chips
    return (
      f'{times}{self.slice.accelerator_type} ({self.slice.topology}; {chips} '
      f'chips, {self.hosts} hosts, {self.tier})'
    )


@dataclasses.dataclass(frozen=True)
class Host:
  """One machine.

  Attributes:
    process: its number among all, as JAX counts.
    slice: number of its slice.
    worker: its number in the slice.
    address: in the network of the machines.
  """

  process: int
  slice: int
  worker: int
  address: str

  def __str__(self) -> str:
    return (
      f'host {self.process} (slice {self.slice}, worker {self.worker}, '
      f'{self.address})'
    )


@dataclasses.dataclass(frozen=True)
class State:
  """How machines are.

  Attributes:
    phase: of all together.
    word: the service's own for it, 'WAITING_FOR_RESOURCES'.
    why: it is so, for people; '' where nothing is to be said.
    hosts: all of them, if they are ready.
  """

  phase: Phase
  word: str
  why: str = ''
  hosts: Sequence[Host] = ()

  def __str__(self) -> str:
    return f'{self.word}: {self.why}' if self.why else self.word


class Machines(Protocol):
  """Of one order."""

  def create_words(self) -> list[str]:
    """The command that rents them."""

  def create(self) -> None:
    """Rents them; they come later.

    Raises:
      Refused: they cannot be had.
    """

  def state(self) -> State:
    """How they are.

    Raises:
      Refused: it cannot be found out.
    """

  def delete(self) -> None:
    """Gives them back, whatever they do; they are gone later.

    Raises:
      Refused: they cannot be.
    """

  def run_words(self, command: str, host: Host | None) -> list[str]:
    """The command that runs one of a shell on a host, or on all."""

  def copy_words(
    self, path: pathlib.Path, name: str, host: Host | None
  ) -> list[str]:
    """The command that copies a file to the homes of one host, or of all."""
