"""Pictures as pure code: bytes in, bytes and facts out."""
