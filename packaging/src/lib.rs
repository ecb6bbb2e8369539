//! What is installed beside the programs: units for systemd, container files, a dashboard and rules for
//! Prometheus. They are files; the tests of this crate hold them to what the daemon is and tells.
