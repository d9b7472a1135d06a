"""What every page of ours has around its sections."""

import os

from base import files


def write(path: str, title: str, lead: str, tiles: str, body: str) -> None:
  """Writes a page that opens without a network, whole or not at all.

  Args:
    path: of the file; figures lie beside it.
    title: HTML, as all of these.
    lead: the paragraph under it.
    tiles: of numbers, above the sections.
    body: the sections.
  """
  with open(os.path.join(os.path.dirname(__file__), 'page.css')) as file:
    style = file.read()
  files.write(
    path,
    f"""<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<link rel="icon" href="data:,">
<title>{title}</title>
<style>
{style}</style>
<header><div>
<div class="brand">scale4d</div>
<h1>{title}</h1>
<p>{lead}</p>
</div></header>
<main>
<div class="tiles">
{tiles}
</div>
{body}
</main>
<footer>In this folder, every figure and every frame of a clip is in a PNG, and
every number in a CSV.</footer>
</html>
""",
  )
