//! Prints what one decision costs, its context included, for the numbers of policies given; with
//! `--json`, as one object of `decision_us_N`, `distinct_us_N`, `two_pass_us_N`, `look_up_us_N` and `naive_us_N`.
//!
//! There are ten policies per agent. Agent and action are drawn at random for each decision. Their conditions are those
//! of a template filled in for each agent and action, of which some come out equal; `distinct_us_N` is the same where no
//! two policies have equal conditions. Beside it stands the naive way: one scan over all policies.
#![expect(clippy::print_stdout, reason = "a program that prints a table")]
#![expect(clippy::unwrap_used, reason = "a measurement stops where its setting is wrong")]
#![expect(
    clippy::indexing_slicing,
    clippy::cast_precision_loss,
    reason = "indices are drawn below the length; counts are small"
)]

use canonical::{Limits, Value};
use model::declared::{
    Action, Agent, ApprovalProof, ApprovalRule, Approvers, Boundary, Credentials, Declared,
    PolicyFile, Upstream, UpstreamKind,
};
use model::{
    ActionId, Decision, Duration, Effect, EntryId, Name, PartyName, RiskTier, Sink, Timestamp,
    TraceId,
};
use policy::{Call, Compiled, Definition, Definitions, Facts, Subject};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

/// Actions of each agent, one policy for each.
const ACTIONS: usize = 10;
/// Decisions that one figure is taken from, in rounds of which the best counts.
const DECISIONS: usize = 20_000;
const ROUNDS: usize = 15;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let json = arguments.iter().any(|argument| argument == "--json");
    let sizes = arguments.iter().filter_map(|argument| argument.parse::<usize>().ok());
    let mut members = Vec::new();
    if !json {
        println!(
            "policies  agents  compile_ms  decision_us  distinct_us  two_pass_us  look_up_us   naive_us"
        );
    }
    for size in sizes {
        let row = measure(size);
        if json {
            members.push(format!(
                "\"decision_us_{size}\":{:.3},\"distinct_us_{size}\":{:.3},\
                 \"two_pass_us_{size}\":{:.3},\"look_up_us_{size}\":{:.3},\"naive_us_{size}\":{:.3}",
                row.decision, row.distinct, row.two_pass, row.look_up, row.naive
            ));
        } else {
            println!(
                "{size:8}  {:6}  {:10.0}  {:11.2}  {:11.2}  {:11.2}  {:10.2}  {:9.1}",
                row.agents,
                row.compile_ms,
                row.decision,
                row.distinct,
                row.two_pass,
                row.look_up,
                row.naive
            );
        }
    }
    if json {
        println!("{{{}}}", members.join(","));
    }
}

struct Row {
    agents: usize,
    compile_ms: f64,
    decision: f64,
    distinct: f64,
    two_pass: f64,
    look_up: f64,
    naive: f64,
}

fn measure(policies: usize) -> Row {
    let agents = (policies / ACTIONS).max(1);
    let (declared, definitions) = declared(agents, false);
    let start = Instant::now();
    let compiled = policy::compile(&declared, &definitions).unwrap();
    let compile_ms = start.elapsed().as_secs_f64() * 1e3;
    let scan = compiled.scan();
    let low = calls(&compiled, agents, "op");
    let high = calls(&compiled, agents, "high");
    let facts = facts();
    let (mut draw, n) = (Draw(42), low.len());
    let decision = decisions(&compiled, agents, &facts);
    let distinct = {
        let (declared, definitions) = self::declared(agents, true);
        let compiled = policy::compile(&declared, &definitions).unwrap();
        decisions(&compiled, agents, &facts)
    };
    let two_pass = best(DECISIONS, || {
        let (subject, call) = &high[draw.below(agents)];
        assert_eq!(policy::evaluate(subject, call, &facts).decision, Decision::Ask);
    });
    let look_up = best(DECISIONS, || {
        let (_, call) = &low[draw.below(n)];
        let again = call.slice().look_up(call.arguments().clone()).unwrap();
        assert_eq!(again.digest(), call.digest());
    });
    let naive = best(400_000 / (policies + 1_000), || {
        let (subject, call) = &low[draw.below(n)];
        assert_eq!(scan.evaluate(subject, call, &facts).decision, Decision::Allow);
    });
    Row { agents, compile_ms, decision, distinct, two_pass, look_up, naive }
}

/// What one decision costs as the gate makes it, for agent and action drawn at random: the slice found, the arguments
/// checked and digested, the context built, Cedar asked.
fn decisions(compiled: &Compiled, agents: usize, facts: &Facts) -> f64 {
    let mut draw = Draw(42);
    let arguments = arguments();
    let subjects: Vec<_> = (0..agents).map(|at| subject(compiled, at)).collect();
    let named = |id: &&ActionId| id.operation.starts_with("op");
    let actions: Vec<_> = compiled.catalog().map(|entry| &entry.id).filter(named).collect();
    best(DECISIONS, || {
        let subject = &subjects[draw.below(agents)];
        let slice = compiled.slice(&subject.version, actions[draw.below(actions.len())]).unwrap();
        let call = slice.look_up(arguments.clone()).unwrap();
        assert_eq!(policy::evaluate(subject, &call, facts).decision, Decision::Allow);
    })
}

/// Microseconds of one, in the best of some rounds.
fn best(count: usize, mut one: impl FnMut()) -> f64 {
    let mut best = f64::INFINITY;
    for _ in 0..ROUNDS {
        let start = Instant::now();
        (0..count).for_each(|_| one());
        best = best.min(start.elapsed().as_secs_f64() * 1e6 / count as f64);
    }
    best
}

/// xorshift64: the same numbers in each run.
struct Draw(u64);

impl Draw {
    fn below(&mut self, n: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % u64::try_from(n).unwrap()).unwrap()
    }
}

fn name(text: &str) -> Name {
    Name::new(text).unwrap()
}

fn facts() -> Facts {
    Facts {
        entry: EntryId(1),
        trace: TraceId(1),
        now: Timestamp(1_800_000_000_000_000),
        control_revision: 1,
        development: false,
        user_groups: BTreeSet::from([name("staff"), name("it")]),
        task: None,
        within: Vec::new(),
        approval: None,
        edge: "mcp",
        uncapped: false,
    }
}

fn arguments() -> Value {
    let text = br#"{"amount":12.5,"count":3,"id":"4711","note":"as agreed","to":"bob@corp"}"#;
    canonical::parse(text, &Limits::ARGUMENTS).unwrap()
}

fn subject(compiled: &Compiled, agent: usize) -> Subject {
    let agent = compiled.agent(&name(&format!("agent-{agent}"))).unwrap();
    Subject::assumed(agent.name.clone(), agent.version, Some(name("ana").into()))
}

fn calls(compiled: &Compiled, agents: usize, operations: &str) -> Vec<(Subject, Call)> {
    let arguments = arguments();
    let mut calls = Vec::new();
    for agent in 0..agents {
        let subject = subject(compiled, agent);
        for entry in compiled.catalog().filter(|e| e.id.operation.starts_with(operations)) {
            let slice = compiled.slice(&subject.version, &entry.id).unwrap();
            calls.push((subject.clone(), slice.look_up(arguments.clone()).unwrap()));
        }
    }
    calls
}

fn declared(agents: usize, distinct: bool) -> (Declared, Definitions) {
    let upstream = name("mail");
    let rule = ApprovalRule {
        approvers: Approvers::Party(PartyName::Group(name("leads"))),
        required: 1,
        exclude: BTreeSet::new(),
        proof: ApprovalProof::Passkey,
        answer_within: Duration::seconds(600),
        use_within: Duration::seconds(600),
    };
    let mut actions: BTreeMap<String, Action> = BTreeMap::new();
    for at in 0..ACTIONS {
        actions.insert(format!("op-{at}"), action(RiskTier::Medium));
    }
    actions.insert("high".into(), action(RiskTier::High));
    let definitions = actions.keys().map(|name| (action_id(&upstream, name), definition()));
    let definitions = definitions.collect();
    let declared = Declared {
        agents: (0..agents).map(|at| (name(&format!("agent-{at}")), agent(&upstream))).collect(),
        upstreams: BTreeMap::from([(
            upstream.clone(),
            Upstream {
                kind: UpstreamKind::Mcp,
                url: "http://127.0.0.1:1".into(),
                local: None,
                environment: None,
                credential: None,
                actions,
                default_action: None,
                line: 1,
            },
        )]),
        boundaries: BTreeMap::from([(
            name("office"),
            Boundary {
                upstreams: BTreeSet::from([upstream]),
                deny_data: BTreeSet::new(),
                calls: None,
                line: 1,
            },
        )]),
        approvals: BTreeMap::from([(name("default"), rule)]),
        policies: vec![PolicyFile {
            path: "policies/all.cedar".into(),
            text: policies(agents, distinct),
        }],
        ..Declared::default()
    };
    (declared, definitions)
}

fn agent(upstream: &Name) -> Agent {
    let mut only = vec![model::declared::ActionPattern::All(upstream.clone())];
    only.push(model::declared::ActionPattern::Exact(action_id(upstream, "high")));
    Agent {
        purpose: "measure".into(),
        owner: PartyName::Group(name("owners")),
        boundary: name("office"),
        only: Some(only),
        users: Some(PartyName::Group(name("staff"))),
        credentials: Credentials::default(),
        observe_until: None,
        governance: model::declared::Governance::default(),
        may_act: Vec::new(),
        line: 1,
    }
}

fn action(risk: RiskTier) -> Action {
    Action {
        effect: Effect::Send,
        sink: Sink::External,
        risk,
        data: BTreeSet::from(["customer".to_owned()]),
        resource: None,
        route: None,
        returns: Vec::new(),
        approval: None,
        show: Vec::new(),
        before: Vec::new(),
        after: Vec::new(),
        complete: true,
        line: 1,
    }
}

fn action_id(upstream: &Name, operation: &str) -> ActionId {
    ActionId::new(upstream.clone(), operation).unwrap()
}

fn definition() -> Definition {
    let schema = br#"{"type":"object","additionalProperties":false,"required":["id","to"],
        "properties":{"amount":{"type":"number"},"count":{"type":"integer"},"id":{"type":"string"},
        "note":{"type":"string"},"to":{"type":"string"}}}"#;
    let input_schema: Value = canonical::parse(schema, &Limits::FRAME).unwrap();
    Definition { canonical: input_schema.to_bytes(), digest: model::Digest([7; 32]), input_schema }
}

/// One policy for each agent and action; their conditions are distinct only if that is asked for.
fn policies(agents: usize, distinct: bool) -> String {
    let mut text = String::new();
    for agent in 0..agents {
        for action in 0..ACTIONS {
            let place = if distinct { format!("{action}-{agent}") } else { action.to_string() };
            text.push_str(&format!(
                "@id(\"p-{agent}-{action}\")\n\
                 forbid (principal in Agent::\"agent-{agent}\", \
                 action == Action::\"mail.op-{action}\", resource)\n\
                 when {{ context.args.to like \"*@evil{place}\" && context.hour < {} }};\n",
                agent % 24
            ));
        }
    }
    text
}
