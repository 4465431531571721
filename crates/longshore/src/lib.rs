//! A registry client that authenticates, retries, resumes and verifies, over any transport.
