//! One key: header, deadline, key and value in one allocation (D4).
