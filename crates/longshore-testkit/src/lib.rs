//! A hermetic registry, token server, fault proxy and image generator for tests.
