//! Tests of `ctrace-query`.
