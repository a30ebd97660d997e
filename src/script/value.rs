//! RESP to Lua and back.
