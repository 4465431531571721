//! Registry authentication without I/O: challenges, scopes, tokens and the machine that answers a 401.
