"""Settings of the tests of ``psgym.replicas``."""

from hypothesis import settings

# The first call of a jitted function compiles it: seconds, where hypothesis allows a fifth of one.
settings.register_profile("compiled", deadline=None)
settings.load_profile("compiled")
