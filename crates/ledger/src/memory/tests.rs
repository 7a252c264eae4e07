//! Tests of the condition memory.
