//! Who is at the other end of a registry connection, and what may be shown to them or sent there.
