"""Folders of videos to records that train fast: `python -m data.ingest`."""
