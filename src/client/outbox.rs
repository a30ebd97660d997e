//! What is to be sent to one client: replies, pushes, limits.
