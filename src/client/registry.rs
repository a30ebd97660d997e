//! All clients: LIST, KILL, PAUSE.
