//! FLUSHALL, TIME, DEBUG, MEMORY and other commands on the server.
