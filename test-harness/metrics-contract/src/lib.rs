//! The metrics that a running daemon gives, and the list of them in `ci/metrics.lint.json`: the same names,
//! types and labels, both ways.
