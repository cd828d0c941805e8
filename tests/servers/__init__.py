"""Real servers for tests: built once into the cache, on loopback while a test needs them, and never after it."""
