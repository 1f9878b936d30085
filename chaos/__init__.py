"""Chaos: the real processes under load, killed, frozen and restarted at random; then proof that nothing was lost."""
