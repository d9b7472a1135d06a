#!/bin/sh
# jax 0.10.2, jaxlib 0.10.2, CPU: a compiled program that came out of JAX's
# compilation cache can be serialised, but what is loaded of it cannot run.
#
# Guessed: `serialize_executable.serialize` gives the same for one program,
# whether it was compiled now or read from the cache. The first process, which
# compiles, loads and runs it; in the second, which finds it in the cache,
# serialising and loading raise nothing, and the first call does.
# Seen: compiled: ran. From the cache: JaxRuntimeError: INTERNAL: Error
# dispatching computation: Function convert_add_fusion not found
# Ours: train/executable.py compiles what it keeps without the cache.
set -eu
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet jax==0.10.2 jaxlib==0.10.2
cat > "$work/run.py" <<'END'
import sys

import jax
import jax.numpy as jnp
from jax.experimental import serialize_executable

jax.config.update('jax_compilation_cache_dir', sys.argv[1])
jax.config.update('jax_persistent_cache_min_compile_time_secs', 0.0)
jax.config.update('jax_persistent_cache_min_entry_size_bytes', 0)


def function(x):
  return jnp.tanh(x @ x.T).sum(0) + jnp.arange(x.shape[0])


x = jnp.ones((16, 16))
compiled = jax.jit(function).lower(x).compile()
expected = compiled(x)
loaded = serialize_executable.deserialize_and_load(
  *serialize_executable.serialize(compiled)
)
try:
  same = bool((loaded(x) == expected).all())
except jax.errors.JaxRuntimeError as error:
  print('raised', str(error).splitlines()[0])
else:
  print('ran', same)
END
export JAX_PLATFORMS=cpu
first=$("$work/venv/bin/python" "$work/run.py" "$work/cache")
second=$("$work/venv/bin/python" "$work/run.py" "$work/cache")
echo "compiled: $first"
echo "from the cache: $second"
test "$first" = 'ran True'
case $second in
  raised*'not found'*) ;;
  *) echo 'it is otherwise now' >&2; exit 1 ;;
esac
