//! The OCI distribution protocol as values and machines, in both directions and without I/O.
