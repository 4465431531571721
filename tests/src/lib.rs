//! End-to-end tests against real peers and the testkit.
