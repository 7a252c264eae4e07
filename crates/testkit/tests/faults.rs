//! Every durable write of a small life of the gate fails not persisted, persisted, and torn; then the power goes.
//!
//! The oracle is the upstream's own log: nothing consequential reached it without a durable open entry, and no answer
//! was given without its record.
#![cfg(test)]

use anyhow::{Context as _, Result, ensure};
use std::{collections::BTreeMap, sync::Arc};
use store::forgetful::{Disk, Fault};
use testkit::{
    chance::SeededEntropy,
    house::{Bank, House, compare},
};

#[test]
fn no_durable_write_that_fails_leaves_an_answer_or_an_act_without_its_record() -> Result<()> {
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let writes = runtime.block_on(run(None))?;
    ensure!(writes >= 12, "the script makes {writes} durable writes: too few to mean anything");
    for write in 0..writes {
        for fault in [Fault::NotPersisted, Fault::Persisted, Fault::Torn] {
            let ended = runtime.block_on(run(Some((write, fault))));
            ended.with_context(|| format!("durable write {write}, {fault:?}"))?;
        }
    }
    Ok(())
}

/// Plays the script on a disk with one fault, cuts the power, and compares. Gives how many durable writes there were.
async fn run(fault: Option<(u64, Fault)>) -> Result<u64> {
    let bank = Bank::open().await?;
    let disk = Disk::new();
    if let Some((write, fault)) = fault {
        disk.fail(write, fault);
    }
    let entropy = Arc::new(SeededEntropy::new(7));
    let mut told = BTreeMap::new();
    if let Ok(house) = House::open(&disk, &bank, &entropy).await {
        for number in 0..9 {
            told.insert(number, house.call(number).await?);
        }
        house.power_cut(&disk).await;
    }
    let writes = disk.writes();
    disk.power_on();
    let house = House::reopen(&disk, &bank, &entropy).await?;
    compare(&house.store, &bank.oracle, &told)?;
    Ok(writes)
}

#[test]
fn who_decides_and_who_records_name_a_revoked_subject_alike() {
    for (kind, name) in [
        ("agent", "payer"),
        ("token", "tok_1"),
        ("user", "ana"),
        ("action", "a.b"),
        ("owner", "group:it"),
        ("effect", "write"),
        ("all", "*"),
    ] {
        assert_eq!(policy::subject_digest(kind, name), ledger::subject_digest(kind, name));
        let of_row = ledger::revoked_subject(&format!("frozen/{kind}/{name}"));
        assert_eq!(of_row, Some(policy::subject_digest(kind, name)));
    }
}
