//! The views over `events`, as SQL that DataFusion, SQLite and DuckDB all take.
