//! Bytes by digest: written once, verified before they are visible, streamed in and out.
