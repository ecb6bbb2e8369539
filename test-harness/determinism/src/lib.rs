//! `strict` gives the same answer wherever and in whatever company a task is decoded: every seed on both replicas
//! of one pool, among others, byte for byte.
