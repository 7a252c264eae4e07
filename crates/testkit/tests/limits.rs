//! What an agent may not get: one call more than its limit, and the secret that its calls are made with.
#![cfg(test)]

use anyhow::Result;
use http::Method;
use model::Code;
use std::sync::Arc;
use store::forgetful::Disk;
use testkit::{
    chance::SeededEntropy,
    house::{Bank, House, Told},
};

fn block_on<T>(future: impl Future<Output = Result<T>>) -> Result<T> {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()?
        .block_on(future)
}

#[test]
fn a_call_over_the_limit_never_reaches_the_upstream() -> Result<()> {
    let reached = |boundary: &'static str| {
        block_on(async move {
            let (bank, entropy) = (Bank::open().await?, Arc::new(SeededEntropy::new(3)));
            let house = House::open_with(&Disk::new(), &bank, &entropy, boundary).await?;
            let mut told = Vec::new();
            for number in 0..5 {
                told.push(house.act(number, "look", Method::GET, "fast").await?);
            }
            Ok((
                told.iter().filter(|told| **told == Told::Done).count(),
                bank.oracle.of("request").len(),
            ))
        })
    };
    assert_eq!(reached(", limits: { calls: 2/h }")?, (2, 2));
    assert_eq!(reached("")?, (5, 5));
    Ok(())
}

#[test]
fn an_answer_that_holds_the_upstreams_secret_is_withheld() -> Result<()> {
    block_on(async {
        let (bank, entropy) = (Bank::open().await?, Arc::new(SeededEntropy::new(4)));
        let house = House::open(&Disk::new(), &bank, &entropy).await?;
        let echoed = house.act(0, "echo", Method::GET, "echo").await?;
        assert_eq!(echoed, Told::Refused(Code::ResultWithheld));
        assert_eq!(house.act(1, "look", Method::GET, "fast").await?, Told::Done);
        assert_eq!(bank.oracle.of("request").len(), 2, "both reached the bank, with its secret");
        Ok(())
    })
}
