//! `strict` gives the same answer wherever and in whatever company a task is decoded: every seed on two replicas
//! of one model, on one alone and on the other among others, byte for byte.
