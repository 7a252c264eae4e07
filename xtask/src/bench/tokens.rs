//! Tokens issued and requests believed, bound and unbound, beside the signatures that they need at the least.

use super::{calls::Bench, figures::Figures, processes::release};
use crate::{
    Workspace,
    command::{program, quiet},
    say,
};
use anyhow::{Context as _, Result};
use serde_json::{Value, json};

const ROUNDS: usize = 3;
const SECONDS: f64 = 3.0;
const CONNECTIONS: u64 = 32;

/// Rate and CPU of each, median of interleaved rounds.
pub(super) fn measure(workspace: &Workspace, figures: &mut Figures) -> Result<()> {
    let bench = Bench::start(workspace)?;
    let keys = [bench.key(workspace, "bench")?, bench.key(workspace, "bound")?];
    let mut taken: Vec<(String, Vec<f64>)> = Vec::new();
    for round in 1..=ROUNDS {
        let crypto = run(workspace, &json!({ "what": "crypto" }))?;
        for (name, value) in [("crypto_sign_us", "sign_us"), ("crypto_verify_us", "verify_us")] {
            super::calls::note(&mut taken, name.to_owned(), number(&crypto, value));
        }
        for what in ["issue", "call"] {
            for (agent, bound) in [("bench", false), ("bound", true)] {
                let jwk = keys.get(usize::from(bound)).context("no key")?;
                let plan = json!({ "what": what, "agent": agent, "bound": bound, "jwk": jwk,
                    "front": bench.front(), "door": format!("{}/http/api", bench.front()),
                    "url": format!("{}/http/api/fast", bench.front()),
                    "connections": CONNECTIONS, "seconds": SECONDS });
                let before = bench.gate().cpu_us()?;
                let outcome = run(workspace, &plan)?;
                let cpu = (bench.gate().cpu_us()? - before) / number(&outcome, "calls").max(1.0);
                let rate = number(&outcome, "per_second");
                let name = format!("{what}_{}", if bound { "bound" } else { "bearer" });
                say(&format!("round {round} {name:<14} {cpu:>7.1} us cpu, {rate:>7.0} per s"));
                super::calls::note(&mut taken, format!("{name}_cpu_us"), cpu);
                super::calls::note(&mut taken, format!("{name}_per_s"), rate);
            }
        }
    }
    for (name, mut values) in taken {
        values.sort_by(f64::total_cmp);
        figures.set(name, values.get(values.len() / 2).copied().unwrap_or_default());
    }
    figures
        .sum("crypto_issue_bound_us", &["crypto_sign_us", "crypto_verify_us", "crypto_verify_us"]);
    figures.sum("crypto_issue_bearer_us", &["crypto_sign_us", "crypto_verify_us"]);
    Ok(())
}

fn run(workspace: &Workspace, plan: &Value) -> Result<Value> {
    let mut command = program(workspace, release(workspace, "token-load"));
    command.arg(plan.to_string());
    let ended = quiet(command)?.or_fail("the load on tokens")?;
    serde_json::from_str(ended.lines.last().context("no outcome")?).context("no figures")
}

fn number(outcome: &Value, name: &str) -> f64 {
    outcome.get(name).and_then(Value::as_f64).unwrap_or_default()
}
