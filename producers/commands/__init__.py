"""The command line's verbs, one module for those that belong together."""
