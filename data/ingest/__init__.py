"""Folders of videos to records that train fast: `python -m data.ingest`.

How a file is read: `data/film`. What is refused: what is no video there, what
is too short in `transcode`; `steps` writes it down.
"""
