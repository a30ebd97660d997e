//! Park, serve, time out.
