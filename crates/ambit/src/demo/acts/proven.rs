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
use serde_json::Value;
use std::{fs, path::Path};

/// The refused mail's place in the ledger, and the commitment to what was refused, as its leaf holds it.
async fn refused_mail(stage: &Stage) -> anyhow::Result<(u64, Vec<u8>)> {
    let recorded = ledger::actions(stage, "helpdesk").await?;
    let refused = recorded
        .iter()
        .find(|row| ledger::is(row, "action", "mail.send") && ledger::is(row, "decision", "deny"));
    let trace = refused.context("no mail was refused")?;
    let trace = trace
        .get("entry")
        .and_then(Value::as_str)
        .context("an action without an entry")?
        .to_owned();
    let shown = stage.ask(Request::TraceShow { trace }).await?;
    let record = shown.pointer("/records/0").context("an entry without a record")?;
    let sequence =
        record.get("sequence").and_then(Value::as_u64).context("a record without a place")?;
    let commitment = record.pointer("/commitments/arguments").and_then(Value::as_str);
    Ok((sequence, hex::decode(commitment.context("a record without a commitment")?)?))
}

/// Flips one bit where these bytes stand.
fn edit(copy: &Path, sought: &[u8]) -> anyhow::Result<()> {
    let mut bytes = fs::read(copy)?;
    let place = bytes.windows(sought.len()).position(|window| window == sought);
    let byte = place.and_then(|place| bytes.get_mut(place));
    *byte.context("the entry is not in the copy")? ^= 1;
    Ok(fs::write(copy, bytes)?)
}

pub(super) async fn what_did_it_do(stage: &mut Stage) -> anyhow::Result<Act> {
    let mut act = Act::new(7, "What did it do? (ambit trace list --agent helpdesk)");
    let recorded = ledger::actions(stage, "helpdesk").await?;
    for row in &recorded {
        act.line(Mark::Note, views::trace_line(row));
    }
    act.check(
        recorded.len() == 8,
        format!("{} lines: acts 3, 4 and 6, nothing missing, nothing more", recorded.len()),
    );
    let allowed = ledger::allowed(&recorded);
    let served = stage.served_for_helpdesk;
    act.check(
        allowed == served,
        format!("{allowed} allowed by the ledger, {served} served by the upstreams' own logs"),
    );
    Ok(act)
}

pub(super) async fn edited(stage: &mut Stage) -> anyhow::Result<Act> {
    let mut act = Act::new(8, "One byte of a copy of the ledger is edited");
    let copy = stage.directory.join("ledger.copy");
    stage.ask(Request::LedgerExport { file: copy.display().to_string() }).await?;
    let key = stage.ask(Request::LedgerKey).await?;
    let key = key
        .get("vkey")
        .and_then(|key| key.as_str())
        .context("the gate does not tell its ledger's key")?;
    let whole = ops::verify(&copy, Some(key), None)?;
    act.line(Mark::Done, format!("the copy as it is: {}", views::verified_line(&whole)));
    act.check(whole.holds, "ambit ledger verify accepts the untouched copy");
    let (entry, commitment) = match refused_mail(stage).await {
        Ok(found) => found,
        Err(error) => {
            act.check(false, format!("the ledger holds a refused mail: {error}"));
            return Ok(act);
        }
    };
    edit(&copy, &commitment)?;
    act.line(
        Mark::Note,
        format!("one bit of entry {entry}, the refused mail of act 3, is flipped in the copy"),
    );
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
