//! Durable writes that go wrong: nothing acknowledged is lost, nothing is acknowledged that is not there.
#![cfg(test)]

mod support;

use ledger::AppendError;
use model::{EntryId, record::RecordKind};
use std::collections::BTreeSet;
use store::forgetful::{Disk, Fault};
use support::{NOW, OnForgetful, Subject, note, opens, write};

/// Writes until the disk fails at its write number `write`; gives the entries that were acknowledged.
fn until_failure(disk: &OnForgetful, write_number: u64, fault: Fault) -> BTreeSet<u128> {
    let store = disk.open().unwrap();
    disk.0.fail(write_number, fault);
    let mut acknowledged = BTreeSet::new();
    let mut stopped = false;
    'rounds: for round in 0..100_u128 {
        // Several wait at once, so that batches of different sizes fail.
        let size = 1 + round % 7;
        let pending: Vec<_> = (0..size)
            .map(|place| {
                (
                    round * 10 + place,
                    store.journal().append(opens(round * 10 + place), support::stamp()),
                )
            })
            .collect();
        for (number, pending) in pending {
            let outcome = match pending {
                Ok(pending) => pending.wait_blocking(),
                Err(refused) => Err(refused),
            };
            match outcome {
                Ok(_) => {
                    assert!(!stopped, "nothing is acknowledged after a failed write");
                    acknowledged.insert(number);
                }
                Err(refused) => {
                    assert_eq!(refused.error, AppendError::Stopped);
                    stopped = true;
                }
            }
        }
        if stopped {
            break 'rounds;
        }
    }
    assert!(stopped, "write {write_number} was never reached");
    assert_eq!(write(&store, note(RecordKind::Refused)).unwrap_err(), AppendError::Stopped);
    // The writer tells why only after it has answered everyone.
    while store.stopped().is_none() {
        std::thread::yield_now();
    }
    disk.crash(store);
    acknowledged
}

#[test]
fn each_durable_write_fails_in_each_way() {
    for fault in [Fault::NotPersisted, Fault::Persisted, Fault::Torn] {
        for write_number in 0..24 {
            let disk = OnForgetful(Disk::new());
            let acknowledged = until_failure(&disk, write_number, fault);
            let store = disk.open().unwrap();
            let there: BTreeSet<u128> = store.recovered().iter().map(|entry| entry.0).collect();
            let lost: Vec<_> = acknowledged.difference(&there).collect();
            assert!(
                lost.is_empty(),
                "{fault:?} at {write_number}: acknowledged and lost: {lost:?}"
            );
            if fault != Fault::Persisted {
                assert_eq!(there, acknowledged, "{fault:?} at {write_number}");
            }
            assert_eq!(store.size(), there.len() as u64);
            for sequence in 0..store.size() {
                let record = store.read(sequence).unwrap().unwrap();
                assert!(there.contains(&record.entry().unwrap().0));
            }
            // The store goes on where it is: the next record is chained to what is there.
            let next = write(&store, opens(99_999)).unwrap().sequence;
            assert_eq!(next, there.len() as u64);
            disk.crash(store);
            assert!(disk.open().unwrap().recovered().contains(&EntryId(99_999)));
        }
    }
}

#[test]
fn power_lost_at_any_moment_loses_nothing_acknowledged() {
    for moment in 0..40_usize {
        let disk = OnForgetful(Disk::new());
        let store = disk.open().unwrap();
        let mut acknowledged = BTreeSet::new();
        for number in 0..moment as u128 {
            write(&store, opens(number)).unwrap();
            acknowledged.insert(number);
            if number % 5 == 0 {
                store.checkpoint(NOW).unwrap();
            }
        }
        disk.crash(store);
        let store = disk.open().unwrap();
        let there: BTreeSet<u128> = store.recovered().iter().map(|entry| entry.0).collect();
        assert_eq!(there, acknowledged);
    }
}
