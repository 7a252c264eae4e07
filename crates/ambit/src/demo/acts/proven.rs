//! The last two acts: what the ledger tells, and that it cannot be made to tell something else.

use crate::{
    cli::Guard,
    control::Request,
    demo::{
        ledger,
        page::{Act, Mark},
        stage::Stage,
    },
    ops, views,
};
use anyhow::Context as _;
use std::{fs, path::Path};

pub(super) async fn what_did_it_do(stage: &mut Stage) -> anyhow::Result<Act> {
    let mut act = Act::new(7, "What did it do? (ambit trace list --agent helpdesk)");
    let recorded = ledger::actions(stage, "helpdesk").await?;
    for row in &recorded {
        act.line(Mark::Note, views::trace_line(row));
    }
    act.check(recorded.len() == 8, format!("{} lines: acts 3, 4 and 6, nothing missing, nothing more", recorded.len()));
    let allowed = ledger::allowed(&recorded);
    let served = stage.served_for_helpdesk;
    act.check(allowed == served, format!("{allowed} allowed by the ledger, {served} served by the upstreams' own logs"));
    Ok(act)
}

pub(super) async fn edited(stage: &mut Stage) -> anyhow::Result<Act> {
    let mut act = Act::new(8, "One byte of a copy of the ledger is edited");
    let copy = stage.directory.join("ledger.copy");
    stage.ask(Request::LedgerExport { file: copy.display().to_string() }).await?;
    let key = stage.ask(Request::LedgerKey).await?;
    let key = key.get("vkey").and_then(|key| key.as_str()).context("the gate does not tell its ledger's key")?;
    let whole = ops::verify(&copy, Some(key), None)?;
    act.line(Mark::Done, format!("the copy as it is: {}", views::verified_line(&whole)));
    act.check(whole.holds, "ambit ledger verify accepts the untouched copy");
    let entry = edit(&copy)?;
    act.line(Mark::Note, format!("one byte of entry {entry} is changed in the copy"));
    if stage.guard_off == Some(Guard::Ledger) {
        act.check(false, "the edited copy was not verified");
        return Ok(act);
    }
    let broken = ops::verify(&copy, Some(key), None)?;
    act.line(Mark::Stopped, format!("the edited copy: {}", views::verified_line(&broken)));
    act.check(!broken.holds, "ambit ledger verify refuses the edited copy");
    act.check(broken.entry == Some(entry), format!("and names entry {entry}"));
    Ok(act)
}
