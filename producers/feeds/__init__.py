"""A shop's catalog export, read into products."""
