"""What gcloud refuses, in one line each: what it is, and what to do."""

import re

# (kind, what its text has, what to do), the first that fits. Texts of quota,
# zones and credentials are of gcloud 528 and of Google's pages.
_KINDS = (
  (
    'capacity',
    r'no (more )?(available )?capacity|stock-?out|RESOURCE_POOL_EXHAUSTED|'
    r'(not|in)(sufficient| enough) (capacity|resources)',
    'there are no such chips free now: wait longer (--wait_hours=), take '
    '--spot or another --zone, or a smaller --type',
  ),
  (
    'quota',
    r'RESOURCE_EXHAUSTED|[Qq]uota',
    'this project may not have so many chips there: ask for quota at '
    'console.cloud.google.com/iam-admin/quotas (spot, on-demand and reserved '
    'have one each), or take a smaller --type; requests that failed count '
    'until they are deleted (`stop`)',
  ),
  (
    'credentials',
    r'invalid_grant|[Rr]eauthentication|refreshing your current auth|'
    r'UNAUTHENTICATED|invalid authentication cred|active account selected',
    'gcloud has no valid credentials: run `gcloud auth login`',
  ),
  (
    'service',
    r'SERVICE_DISABLED|has not been used in project|it is disabled',
    'the Cloud TPU API is off in this project: run `gcloud services enable '
    'tpu.googleapis.com`',
  ),
  (
    'zone',
    r"denied on 'locations/|[Ll]ocation .*(not found|may not exist)|"
    r'[Uu]nknown zone|Invalid value for field .zone',
    'there is no such --zone for this project: `gcloud compute tpus locations '
    'list` shows those there are, and --project must be right',
  ),
  (
    'type',
    r'[Aa]ccelerator ?[Tt]ype .*(not found|invalid|not supported|unavailable)|'
    r'acceleratorTypes/\S+ (was )?not found',
    'this zone does not have that --type: `gcloud compute tpus '
    'accelerator-types list --zone=` shows what it has',
  ),
  (
    'project',
    r'project .*(not found|does not exist)|core/project. is not set|'
    r'required property \[project\]|USER_PROJECT_DENIED|CONSUMER_INVALID',
    'there is no such --project for this account',
  ),
  ('absent', r'NOT_FOUND', 'it is not there'),
  ('exists', r'ALREADY_EXISTS', 'it is there already'),
  (
    'permission',
    r'PERMISSION_DENIED',
    'this account may not do it: it needs the role TPU Admin '
    '(roles/tpu.admin), and Service Account User',
  ),
  (
    'passing',
    r'UNAVAILABLE|DEADLINE_EXCEEDED|INTERNAL|Connection (reset|refused|abort)|'
    r'timed out|Max retries|Unable to (find|connect|reach)|'
    r'[Nn]etwork is unreachable|[Nn]ame resolution|HttpError 5\d\d',
    'the service did not answer: try again',
  ),
)


class Refused(ValueError):
  """Something that the service does not do.

  Attributes:
    kind: 'quota', 'capacity', 'credentials', 'zone', 'absent', 'passing' ...;
      '' of what is not known here.
  """

  def __init__(self, doing: str, said: str):
    """One line.

    Args:
      doing: what was tried.
      said: by gcloud.
    """
    said = _short(said)
    self.kind, remedy = kind_of(said)
    remedy = f'{remedy}. ' if remedy else ''
    super().__init__(f'{doing}: {remedy}gcloud says: {said}')


def kind_of(said: str) -> tuple[str, str]:
  """(kind, remedy) of a text; both '' if it is not known."""
  for kind, pattern, remedy in _KINDS:
    if re.search(pattern, said):
      return kind, remedy
  return '', ''


def _short(said: str) -> str:
  """The error itself, out of all that gcloud printed."""
  lines = [line.strip() for line in said.splitlines() if line.strip()]
  errors = [line for line in lines if line.startswith('ERROR:')]
  if errors:
    # What follows it belongs to it, as 'Please run: $ gcloud auth login'.
    lines = lines[lines.index(errors[0]) :]
  text = ' '.join(lines) or 'nothing'
  text = re.sub(r'^ERROR: \(gcloud[\w.-]*\) ', '', text)
  return text if len(text) < 400 else text[:400] + ' ...'
