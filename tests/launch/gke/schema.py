"""JobSet's own schema, made strict: the API server drops what it does not know.

jobset-v0.12.0.json is the OpenAPI schema of JobSet v1alpha2 of
kubernetes-sigs/jobset v0.12.0, Copyright The Kubernetes Authors, under the
Apache License 2.0 (LICENSE); descriptions were removed.
"""

import json
import pathlib

import pytest

PATH = pathlib.Path(__file__).with_name('jobset-v0.12.0.json')


def errors(manifest):
  """What is wrong with a JobSet, each with its path."""
  jsonschema = pytest.importorskip('jsonschema', reason='no group dev')
  strict = _strict(json.loads(PATH.read_text())['schema'])
  return [
    f'{each.json_path}: {each.message}'
    for each in jsonschema.Draft202012Validator(strict).iter_errors(manifest)
  ]


def _strict(value):
  if isinstance(value, list):
    return [_strict(each) for each in value]
  if not isinstance(value, dict):
    return value
  found = {
    key: _strict(each)
    for key, each in value.items()
    if not key.startswith('x-kubernetes-')
  }
  if value.get('x-kubernetes-int-or-string'):
    found.pop('type', None)
    found['anyOf'] = [{'type': 'integer'}, {'type': 'string'}]
  # A property may itself be called 'properties': then it is no schema.
  if (
    isinstance(value.get('properties'), dict) and value.get('type') == 'object'
  ):
    found['additionalProperties'] = False
  return found
