//! The Lua VM: sandbox, limits, libraries.
