//! Names and texts of errnos.
