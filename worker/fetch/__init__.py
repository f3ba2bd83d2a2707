"""The one safe door to foreign hosts: :class:`worker.fetch.fetcher.Fetcher`."""
