"""`parley bench`: what this machine can do."""
