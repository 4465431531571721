//! The transport and clock a registry client runs on: one request out, one response back.
