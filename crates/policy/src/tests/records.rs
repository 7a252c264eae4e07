//! Evidence through the real path, from a token to the parts and conditions of a record.

use super::world::{NOW, Try, World, attempt, base, entry_of, name};
use crate::{
    AskRecord, Compiled, Facts, FactsError, Refused, TaskFacts, Verdict, decide, subject_digest,
};
use canonical::{Limits, Value};
use identity::{
    Actor, AgentKey, Algorithm, Grant, Presented, ProofClaims, Scheme, SigningKey, Validity,
    VerificationKeys, Verified,
};
use model::declared::Resource;
use model::record::{Condition, Parts, RecordKind, Recordable};
use model::{AskId, Code, Duration, EntryId, TaskId, Timestamp, TokenId};
use std::sync::Arc;

const ISSUER: &str = "http://127.0.0.1:8400";
const DOOR: &str = "http://127.0.0.1:8400/mcp/tickets";

/// The actor of a try, by a bound token and its proof.
fn actor(compiled: &Compiled, one: &Try) -> Actor {
    let signing = SigningKey::from_random(Algorithm::EdDsa, &[7; 32]).unwrap();
    let key = AgentKey::from_random(Algorithm::EdDsa, &[9; 32]).unwrap();
    let mut keys = VerificationKeys::new();
    assert!(keys.insert(signing.public().clone(), Validity::ALWAYS));
    let token = signing.mint(&Grant {
        issuer: ISSUER,
        audience: DOOR,
        agent: &one.agent,
        version: compiled.agent(&one.agent).unwrap().version,
        instance: Some(key.public().thumbprint()),
        user: one.user.as_ref(),
        task: one.intent.as_ref().map(|_| TaskId(9)),
        scope: None,
        token: TokenId(4),
        issued: NOW,
        expires: NOW.after(Duration::seconds(300)),
        bound: true,
        delegation: identity::Delegation::default(),
        certificate: None,
    });
    let token = token.unwrap();
    let claims = ProofClaims {
        method: "POST",
        url: DOOR,
        token: Some(&token),
        jti: "0f2c41",
        issued: NOW,
        nonce: None,
    };
    let proof = key.proof(&claims).unwrap();
    let presented = Presented {
        scheme: Scheme::Dpop,
        token: &token,
        proof: Some(&proof),
        certificate: None,
        peer: None,
        method: "POST",
        url: DOOR,
        audience: DOOR,
        nonces: identity::Nonces::None,
    };
    let verified = Arc::new(Verified::verify(&token, &keys, ISSUER, NOW).unwrap());
    verified.present(&presented, NOW).unwrap()
}

fn verdict(compiled: &Compiled, one: &Try) -> (Actor, Verdict) {
    let actor = actor(compiled, one);
    let call = one.call(compiled).unwrap();
    let verdict = decide(&actor, call, &one.facts(compiled));
    (actor, verdict)
}

/// Each part read back, and written to the same bytes.
fn read(parts: &Parts) -> [Value; 3] {
    [&parts.envelope, &parts.subject, &parts.arguments].map(|bytes| {
        let value = canonical::parse(bytes, &Limits::FRAME).unwrap();
        assert_eq!(value.to_bytes(), *bytes, "canonical");
        value
    })
}

fn text<'a>(value: &'a Value, member: &str) -> &'a str {
    value.get(member).and_then(Value::as_str).unwrap_or("(none)")
}

#[test]
fn a_clearance_is_recorded_with_its_conditions() {
    let compiled = base();
    let one = attempt("helpdesk", "tickets.read").intent("resolve", r#"{"ticket":"4711"}"#);
    let (actor, verdict) = verdict(compiled, &one);
    let Verdict::Allow(clearance) = verdict else { panic!("{verdict:?}") };
    assert_eq!(clearance.kind(), RecordKind::Opened);
    assert!(!clearance.is_consequential());
    let conditions = clearance.conditions();
    let (what, until) = actor.proof_use().unwrap();
    assert_eq!(conditions[0], Condition::Opens(EntryId(1)));
    let Condition::NotRevokedSince { subjects, decided_at: 3 } = &conditions[1] else {
        panic!("{conditions:?}")
    };
    let version = compiled.agent(&one.agent).unwrap().version.to_string();
    let owner = compiled.agent(&one.agent).unwrap().declared.owner.to_string();
    for (kind, name) in [
        ("agent", "helpdesk"),
        ("version", &version),
        ("instance", actor.instance().unwrap()),
        ("token", &TokenId(4).to_string()),
        ("task", &TaskId(9).to_string()),
        ("user", "ana"),
        ("upstream", "tickets"),
        ("action", "tickets.read"),
        ("owner", &owner),
        ("effect", "read"),
        ("all", "*"),
    ] {
        assert!(subjects.contains(&subject_digest(kind, name)), "{kind}");
    }
    assert_eq!(subjects.len(), 11);
    assert_eq!(conditions[2], Condition::Unused { what, until });
    assert_eq!(
        conditions[3],
        Condition::Within {
            what: subject_digest("limit.calls", "support/helpdesk"),
            max: 300,
            window: Duration::seconds(3600),
            now: NOW
        }
    );
    assert_eq!(conditions.len(), 4);
    let [envelope, subject, arguments] = read(&clearance.parts());
    assert_eq!(text(&envelope, "decision"), "allow");
    assert_eq!(text(&envelope, "policies"), compiled.digest().to_string());
    assert_eq!(text(&envelope, "intent"), "resolve");
    let bytes = clearance.parts().envelope;
    let nothing_personal = String::from_utf8(bytes).unwrap();
    assert!(!nothing_personal.contains("ana") && !nothing_personal.contains("4711"));
    assert_eq!(text(&subject, "user"), "ana");
    assert_eq!(subject.pointer("/task_params/ticket").and_then(Value::as_str), Some("4711"));
    assert_eq!(arguments.pointer("/arguments/id").and_then(Value::as_str), Some("4711"));
    assert_eq!(text(&arguments, "digest"), clearance.call().digest().to_string());
}

#[test]
fn an_approval_is_a_condition_where_it_was_needed() {
    let compiled = base();
    let one = attempt("cashier", "payments.transfer");
    let Verdict::Ask(ask) = verdict(compiled, &one).1 else { panic!("asks") };
    assert_eq!(ask.rules.iter().next(), Some(&name("default")));
    let binding = ask.binding();
    let record = AskRecord::new(AskId(5), Timestamp(7), &ask, Vec::new());
    assert_eq!(record.kind(), RecordKind::Asked);
    assert_eq!(record.conditions()[0], Condition::Asks { ask: AskId(5), until: Timestamp(7) });
    let [envelope, ..] = read(&record.parts());
    assert_eq!(text(&envelope, "ask"), AskId(5).to_string());
    assert_eq!(text(&envelope, "code"), "asked");
    let approved = one.approved(&["guard.high"], &["default"]);
    let actor = actor(compiled, &approved);
    let verdict = decide(&actor, ask.into_call(), &approved.facts(compiled));
    let Verdict::Allow(clearance) = verdict else { panic!("{verdict:?}") };
    assert_eq!(crate::binding(clearance.subject(), clearance.call()), binding);
    assert!(clearance.is_consequential());
    let used = Condition::Approval { ask: AskId(5), now: NOW };
    assert!(clearance.conditions().contains(&used));
    let [envelope, ..] = read(&clearance.parts());
    assert_eq!(envelope.pointer("/signed/reasons/0").and_then(Value::as_str), Some("guard.high"));
    // The same approval beside an action that needs none is not used up.
    let read = attempt("helpdesk", "tickets.read").approved(&["guard.high"], &["default"]);
    let (_, verdict) = self::verdict(compiled, &read);
    let Verdict::Allow(clearance) = verdict else { panic!("{verdict:?}") };
    assert!(!clearance.conditions().contains(&used));
}

#[test]
fn a_refusal_is_recorded_without_conditions() {
    let compiled = base();
    let one = attempt("helpdesk", "tickets.purge");
    let (actor, verdict) = verdict(compiled, &one);
    let denial = verdict.into_clearance().unwrap_err();
    assert_eq!((denial.code, denial.reasons.len()), (Code::NotGranted, 0));
    let refused = Refused::denied(&denial);
    assert_eq!((refused.kind(), refused.entry()), (RecordKind::Refused, EntryId(1)));
    assert_eq!((refused.scope().human.as_str(), refused.conditions().len()), ("ana", 0));
    let [envelope, ..] = read(&refused.parts());
    assert_eq!(text(&envelope, "code"), "not_granted");
    assert_eq!(text(&envelope, "risk"), "high");
    let refusal = (Code::NotInCatalog, Some("no such tool"));
    let facts = one.facts(compiled);
    let refused = Refused::unmatched(&actor, "tickets.\"x\"", None, refusal, &facts);
    let [envelope, subject, _] = read(&refused.parts());
    assert_eq!(text(&envelope, "action"), "tickets.\"x\"");
    assert_eq!(text(&envelope, "detail"), "no such tool");
    assert_eq!(text(&subject, "user"), "ana");
}

#[test]
fn no_evidence_without_a_pinned_definition_or_with_another_task() {
    let mut world = World::new();
    world.definitions.remove(&super::world::action("tickets.read"));
    let compiled = &world.compile();
    let one = attempt("helpdesk", "tickets.read");
    assert_eq!(one.outcome(compiled), "allow", "as `check` and `tests:` ask it");
    let denial = verdict(compiled, &one).1.into_clearance().unwrap_err();
    assert_eq!(denial.code, Code::DefinitionUnseen);
    let compiled = base();
    let actor = actor(compiled, &one.clone().intent("browse", "{}"));
    let verdict = decide(&actor, one.call(compiled).unwrap(), &one.facts(compiled));
    assert_eq!(verdict.into_clearance().unwrap_err().code, Code::Undecidable);
}

#[test]
fn the_tenant_is_the_declared_argument() {
    let world = World::new().with(|d| {
        let tenant = Some("id".into());
        entry_of(d, "tickets.read").resource =
            Some(Resource { kind: "t".into(), id: None, tenant });
    });
    let compiled = &world.compile();
    let Verdict::Allow(clearance) = verdict(compiled, &attempt("helpdesk", "tickets.read")).1
    else {
        panic!("allowed")
    };
    assert_eq!(clearance.scope().tenant, "4711");
}

#[test]
fn facts_come_back_as_they_were() {
    let compiled = base();
    let one = attempt("helpdesk", "tickets.read")
        .intent("resolve", r#"{"ticket":"4711"}"#)
        .approved(&["a"], &["default"]);
    let facts = one.facts(compiled);
    assert_eq!(Facts::from_bytes(&facts.to_bytes()), Ok(facts.clone()));
    let plain = attempt("helpdesk", "tickets.read").user(None).facts(compiled);
    assert_eq!(Facts::from_bytes(&plain.to_bytes()), Ok(plain));
    let task = facts.task.as_deref().unwrap();
    assert_eq!(TaskFacts::from_bytes(&task.to_bytes()).as_ref(), Ok(task));
    let golden = r#"{"agent":"helpdesk","client":"portal","expires":"1800076860000000","id":"tsk_00000000000000000000000009","instance":null,"intent":"resolve","opened_by":"orchestrator","params":{"ticket":"4711"},"parent":null,"trigger":{"digest":null,"kind":"message","ref":"ticket 4711","trust":"untrusted"},"user":"ana","v":2}"#;
    assert_eq!(String::from_utf8(task.to_bytes()).unwrap(), golden);
    // As rows were written before a task said who opened it.
    let first = r#"{"agent":"helpdesk","expires":"1800076860000000","id":"tsk_00000000000000000000000009","intent":"resolve","params":{"ticket":"4711"},"trigger":"ticket 4711","user":"ana","v":1}"#;
    let (opened_by, client) = (model::OpenedBy::Operator, None);
    let older = TaskFacts { opened_by, client, ..task.clone() };
    assert_eq!(TaskFacts::from_bytes(first.as_bytes()), Ok(older));
    let around = Facts { within: vec![Arc::new(task.clone())], ..facts.clone() };
    assert_eq!(Facts::from_bytes(&around.to_bytes()), Ok(around));
    let cut = golden.replace("\"v\":2", "\"v\":3");
    assert_eq!(TaskFacts::from_bytes(cut.as_bytes()), Err(FactsError::Member("v")));
    let cut = golden.replace("ana", "A na");
    assert_eq!(TaskFacts::from_bytes(cut.as_bytes()), Err(FactsError::Member("user")));
}
