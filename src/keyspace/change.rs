//! What happened to which key.
