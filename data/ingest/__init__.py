"""Folders of videos to records that train fast: `python -m data.ingest`.

Which files are refused: what is no video in `data/video.py`, what is damaged or
too short in `transcode`; `steps` writes it down.
"""
