//! The nouns of the OCI specifications as values that cannot be malformed.
