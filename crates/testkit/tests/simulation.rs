//! One life of a gate, drawn from a fixed seed: calls one by one and at once, freezes, power cuts.
#![cfg(test)]

use anyhow::{Result, ensure};
use model::Code;
use std::{collections::BTreeMap, sync::Arc};
use store::forgetful::Disk;
use testkit::{
    chance::SeededEntropy,
    house::{Bank, House, Told, compare, left_open},
};

/// `AMBIT_TEST_SEED` plays another life.
const SEED: u64 = 0x00A1_1B17;
const STEPS: u64 = 400;

#[test]
fn a_life_with_freezes_and_power_cuts_keeps_every_promise() -> Result<()> {
    let given = std::env::var("AMBIT_TEST_SEED").ok().and_then(|text| text.parse().ok());
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    runtime.block_on(live(given.unwrap_or(SEED)))
}

#[derive(Default)]
struct Life {
    told: BTreeMap<u64, Told>,
    next: u64,
    frozen: bool,
    cuts: u64,
    refused_frozen: u64,
}

async fn live(seed: u64) -> Result<()> {
    let (chance, entropy) = (SeededEntropy::new(seed), Arc::new(SeededEntropy::new(seed ^ 1)));
    let (bank, disk) = (Bank::open().await?, Disk::new());
    let mut house = House::open(&disk, &bank, &entropy).await?;
    let mut life = Life::default();
    for _ in 0..STEPS {
        match chance.below(20) {
            0 => {
                // Some calls are still on their way when the power goes.
                let first = life.take(4);
                let during =
                    tokio::join!(house.call(first), house.call(first + 1), house.call(first + 2));
                for (at, told) in [during.0, during.1, during.2].into_iter().enumerate() {
                    life.told.insert(first + u64::try_from(at)?, told?);
                }
                house.power_cut(&disk).await;
                house = House::reopen(&disk, &bank, &entropy).await?;
                life.cuts += 1;
            }
            1 => {
                let frozen = !life.frozen;
                ensure!(house.freeze(frozen).await, "a freeze on a sound disk is durable");
                life.frozen = frozen;
            }
            _ => life.call(&house).await?,
        }
    }
    house.power_cut(&disk).await;
    let house = House::reopen(&disk, &bank, &entropy).await?;
    println!(
        "seed {seed}: {} calls, {} cuts, {} refused while frozen",
        life.next, life.cuts, life.refused_frozen
    );
    ensure!(life.cuts >= 5 && life.refused_frozen >= 20, "seed {seed} plays too tame a life");
    ensure!(left_open(&house.store)? == 0, "an entry has no outcome after recovery");
    compare(&house.store, &bank.oracle, &life.told)
}

impl Life {
    fn take(&mut self, how_many: u64) -> u64 {
        let first = self.next;
        self.next += how_many;
        first
    }

    async fn call(&mut self, house: &House) -> Result<()> {
        let number = self.take(1);
        let told = house.call(number).await?;
        if self.frozen {
            ensure!(
                told == Told::Refused(Code::Revoked),
                "call {number} of a frozen agent was told {told:?}"
            );
            self.refused_frozen += 1;
        }
        self.told.insert(number, told);
        Ok(())
    }
}
