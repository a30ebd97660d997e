//! Numbers to text and back exactly as Redis prints and accepts them.
