"""Where objects live: one small interface, a directory and an S3 bucket behind it."""
