//! Operators' events on stderr: text on a terminal, JSON lines elsewhere. Nothing per call at INFO.

use std::io::IsTerminal as _;
use tracing_subscriber::EnvFilter;

/// Starts logging. `AMBIT_LOG` holds a filter that stands over `-q` and `-v`.
pub(crate) fn start(verbose: u8, quiet: bool, serving: bool) {
    let level = match (quiet, verbose, serving) {
        (true, ..) => "error",
        (false, 0, false) => "warn",
        (false, 0, true) => "info",
        (false, 1, _) => "debug",
        (false, ..) => "trace",
    };
    let filter = std::env::var("AMBIT_LOG").unwrap_or_else(|_| level.to_owned());
    let events = tracing_subscriber::fmt()
        .with_env_filter(EnvFilter::new(filter))
        .with_writer(std::io::stderr);
    // A second start, as in tests, is refused and harmless.
    let _already_started = if std::io::stderr().is_terminal() {
        events.try_init().is_err()
    } else {
        events.json().try_init().is_err()
    };
}
