//! What an admission decision costs by the depth of the queue.
fn main() {
    divan::main();
}
