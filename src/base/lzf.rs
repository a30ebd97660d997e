//! LZF, the compression of RDB strings and of inner list nodes.
