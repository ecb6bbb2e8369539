//! Mean times to the first token on a fast card and one of a third of its speed, by load: placed by this
//! scheduler, by one queue that counts connections, by a reverse proxy that counts them, and on the fast card
//! alone. A simulation: the same figures on every machine.
#![expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::print_stdout,
    reason = "times of a simulation are small numbers, and a bench prints them"
)]

#[path = "../tests/simulation/pools.rs"]
mod pools;
#[path = "../tests/simulation/random.rs"]
mod random;

use pools::{Comparison, compare};

fn main() {
    for slots in [1, 4, 8] {
        println!("{slots} slots each: mean time to first token, then to the end, in ms");
        println!(
            "{:>6} {:>16} {:>16} {:>16} {:>16}",
            "load", "llama-orch", "least conn.", "proxy", "fast alone"
        );
        for load in [0.05, 0.1, 0.2, 0.3, 0.5, 0.7, 0.9, 1.1] {
            let Comparison { ours, least, proxy, alone } = compare(slots, load, 0.5);
            let columns = [ours, least, proxy, alone]
                .map(|means| format!("{:>7.0} {:>8.0}", means.first_token_ms, means.end_ms));
            println!(
                "{load:>6} {}  first token {:+.0} % against least connections",
                columns.join(" "),
                100.0 * (ours.first_token_ms / least.first_token_ms - 1.0)
            );
        }
    }
}
