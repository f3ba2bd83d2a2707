"""The core, unchanged, on doubles in memory, a virtual clock and a seeded scheduler."""
