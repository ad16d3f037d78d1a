//! A call as strace would print it.
