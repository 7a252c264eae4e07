//! `ambit client …`: clients that open tasks.

use super::{DataDir, KeyForm};
use clap::Subcommand;

/// `ambit client …`
#[derive(Debug, Subcommand)]
pub(crate) enum Client {
    /// Export the key that `ambit dev` generated for a client
    Key {
        /// The client
        client: String,
        /// In which form
        #[arg(long, value_enum)]
        export: KeyForm,
        #[command(flatten)]
        data: DataDir,
    },
}
