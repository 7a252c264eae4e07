//! What is granted, and what its token and its record say.

use crate::house::{Ask, Freeze, House, ISSUER, TICKETS, World, agent_key, at, name};
use identity::{Presented, ProofClaims, Scheme, Verified};
use issuer::{Directory, LocalRequest};
use ledger::Stamp;
use model::{Code, Duration, record::RecordKind};
use std::sync::Arc;

fn verified(house: &House, token: &str) -> Arc<Verified> {
    let keys = house.fake.verification_keys();
    Arc::new(Verified::verify(token, &keys, ISSUER, at(0)).unwrap())
}

#[tokio::test]
async fn a_bound_token_works_with_a_proof_and_is_recorded_first() {
    let house = House::new();
    let answer = house.ask(&Ask::token("helpdesk", "one")).await;
    assert_eq!(answer.status, 200, "{}", String::from_utf8_lossy(&answer.body));
    assert_eq!(answer.headers["cache-control"], "no-store");
    assert_eq!(answer.text("token_type"), "DPoP");
    assert_eq!(answer.json().get("expires_in").unwrap().as_i64(), Some(900));
    let token = answer.text("access_token");
    let key = agent_key("helpdesk");
    let claims = ProofClaims {
        method: "POST",
        url: TICKETS,
        token: Some(&token),
        jti: "x",
        issued: at(0),
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
        url: TICKETS,
        audience: TICKETS,
        nonces: identity::Nonces::None,
    };
    let actor = verified(&house, &token).present(&presented, at(0)).unwrap();
    assert_eq!(actor.agent(), &name("helpdesk"));
    assert_eq!(actor.instance(), Some(key.public().thumbprint()));
    assert_eq!((actor.user(), actor.task(), actor.bound()), (None, None, true));

    let records = house.records();
    assert_eq!(records.len(), 1);
    let record = &records[0];
    assert_eq!(record.kind, RecordKind::Token);
    for (member, value) in [
        ("agent", "helpdesk"),
        ("audience", TICKETS),
        ("boundary", "development"),
        ("bound", "true"),
        ("decision", "allow"),
        ("instance", key.public().thumbprint()),
        ("operation", "issue"),
        ("token", &actor.token().to_string()),
        ("ttl", "900"),
        ("upstream", "tickets"),
        ("v", "1"),
        ("version", &actor.version().to_string()),
        ("via", "private_key_jwt"),
    ] {
        assert_eq!(record.member(member).as_deref(), Some(value), "{member}");
    }
    let said = format!("{record:?}");
    assert!(token.split('.').all(|part| !said.contains(part)), "a record holds the token");
}

#[tokio::test]
async fn a_bearer_token_is_for_agents_without_proof_and_short() {
    let house = House::new();
    let answer = house.ask(&Ask::token("batch", "one")).await;
    assert_eq!(answer.text("token_type"), "Bearer");
    assert_eq!(answer.json().get("expires_in").unwrap().as_i64(), Some(300), "S19");
    let verified = verified(&house, &answer.text("access_token"));
    let token = answer.text("access_token");
    let presented = Presented {
        scheme: Scheme::Bearer,
        token: &token,
        proof: None,
        certificate: None,
        peer: None,
        method: "POST",
        url: TICKETS,
        audience: TICKETS,
        nonces: identity::Nonces::None,
    };
    let actor = verified.present(&presented, at(0)).unwrap();
    assert!(!actor.bound());
    assert_eq!(actor.instance(), Some(agent_key("batch").public().thumbprint()));
    assert_eq!(house.records()[0].member("bound").as_deref(), Some("false"));

    let with_proof = Ask::token("batch", "two").header("dpop", &crate::house::proof("batch", "p"));
    assert_eq!(house.ask(&with_proof).await.text("token_type"), "DPoP");
}

#[tokio::test]
async fn a_task_brings_its_human_and_its_end() {
    let house = House::new();
    let task = house.task.to_string();
    let answer = house.ask(&Ask::token("helpdesk", "one").with("task", &task)).await;
    let verified = verified(&house, &answer.text("access_token"));
    assert_eq!(verified.expires(), at(600), "the task's end");
    let records = house.records();
    assert_eq!(records[0].subject, r#"{"user":"ana"}"#);
    assert!(house.has_key_of("ana") && !house.has_key_of("bob"));
    assert!(!records[0].envelope.contains("ana"), "{}", records[0].envelope);
    assert_eq!(records[0].member("task"), Some(task));
}

#[tokio::test]
async fn the_life_is_the_least_of_what_is_declared_and_the_ceilings() {
    for (declared, expected) in [(60, 60), (900, 900), (7200, 3600)] {
        let house = House::new();
        house.change(|world| {
            let agent = world.agents.get_mut(&name("helpdesk")).unwrap();
            agent.ttl = Duration::seconds(declared);
        });
        let answer = house.ask(&Ask::token("helpdesk", "one")).await;
        assert_eq!(answer.json().get("expires_in").unwrap().as_i64(), Some(expected));
    }
}

#[tokio::test]
async fn an_assertion_for_the_token_endpoint_is_taken_too() {
    let house = House::new();
    let claims = identity::AssertionClaims {
        agent: &name("helpdesk"),
        audience: crate::house::TOKEN,
        jti: "a",
        issued: at(0),
        expires: at(60),
    };
    let assertion = agent_key("helpdesk").assertion(&claims).unwrap();
    let ask = Ask::token("helpdesk", "one").with("client_assertion", &assertion);
    assert_eq!(house.ask(&ask).await.status, 200);
}

#[tokio::test]
async fn the_local_way_has_the_same_checks() {
    let house = House::new();
    let issuer = house.issuer();
    let request = |agent: &str, bind_to: Option<&str>| LocalRequest {
        agent: name(agent),
        resource: TICKETS.to_owned(),
        task: None,
        bind_to: bind_to.map(str::to_owned),
    };
    let helpdesk = agent_key("helpdesk");
    let own = helpdesk.public().thumbprint();
    let issued = issuer.issue(request("helpdesk", Some(own))).await.unwrap();
    assert!(issued.bound);
    assert_eq!(verified(&house, &issued.token).token(), issued.id);
    let issued = issuer.issue(request("batch", None)).await.unwrap();
    assert_eq!((issued.bound, issued.expires_in), (false, 300));

    let code = async |request| issuer.issue(request).await.err().map(|error| error.code());
    assert_eq!(code(request("helpdesk", None)).await, Some(Code::ProofInvalid));
    assert_eq!(code(request("batch", Some(own))).await, Some(Code::ProofInvalid));
    assert_eq!(code(request("nobody", None)).await, Some(Code::Revoked));
    let elsewhere = LocalRequest {
        resource: "http://127.0.0.1:8400/mcp/mail".into(),
        ..request("batch", None)
    };
    assert_eq!(code(elsewhere).await, Some(Code::NotGranted));
    house.revoke("agent", "batch");
    assert_eq!(code(request("batch", None)).await, Some(Code::Revoked));

    let records = house.records();
    assert_eq!(records.len(), 7);
    assert!(records.iter().all(|record| record.member("via").as_deref() == Some("control")));
    let refused =
        records.iter().filter(|record| record.member("decision").as_deref() == Some("deny"));
    assert_eq!(refused.count(), 5);
}

#[tokio::test]
async fn who_is_frozen_during_the_decision_gets_nothing() {
    let jkt = agent_key("helpdesk").public().thumbprint().to_owned();
    let (version, task) = (model::Digest([5; 32]).to_string(), House::new().task.to_string());
    for (kind, subject, error) in [
        ("agent", "helpdesk", "unauthorized_client"),
        ("version", &version, "unauthorized_client"),
        ("instance", &jkt, "unauthorized_client"),
        ("task", &task, "unauthorized_client"),
        ("user", "ana", "unauthorized_client"),
        ("owner", "group:it", "unauthorized_client"),
        ("all", "*", "unauthorized_client"),
        ("upstream", "tickets", "invalid_target"),
    ] {
        let house = House::new();
        let digest = ledger::subject_digest(kind, subject);
        freeze_during_the_next_decision(&house, kind, subject, move |world| {
            world.revoked.insert(digest);
        });
        let answer = house.ask(&Ask::token("helpdesk", "one").with("task", &task)).await;
        assert_eq!(answer.error(), (400, error.into()), "{kind}");
        let records = house.records();
        let decisions: Vec<_> = records.iter().map(|record| record.member("decision")).collect();
        assert_eq!(decisions, [None, Some("deny".into())], "{kind}: no issue was recorded");
    }
}

#[tokio::test]
async fn who_is_frozen_and_thawed_meanwhile_is_decided_again_as_of_now() {
    let house = House::new();
    freeze_during_the_next_decision(&house, "agent", "helpdesk", |_| {});
    assert_eq!(house.ask(&Ask::token("helpdesk", "one")).await.status, 200);

    let house = House::new();
    let other = agent_key("batch").public().clone();
    freeze_during_the_next_decision(&house, "agent", "helpdesk", move |world| {
        let agent = world.agents.get_mut(&name("helpdesk")).unwrap();
        agent.keys = Arc::new(identity::AgentKeys::of(other));
    });
    let answer = house.ask(&Ask::token("helpdesk", "one")).await;
    assert_eq!(answer.error(), (400, "unauthorized_client".into()), "its key is gone");
}

/// Once, between the next decision and its record, the subject is frozen in the journal, and the
/// world becomes what `after` makes of it.
fn freeze_during_the_next_decision(
    house: &House,
    kind: &str,
    subject: &str,
    after: impl FnOnce(&mut World) + Send + 'static,
) {
    let (journal, fake) = (house.journal.clone(), Arc::clone(&house.fake));
    let key = format!("frozen/{kind}/{subject}");
    house.change(|world| {
        world.meanwhile = Some(Box::new(move || {
            let stamp = Stamp { now: at(0), seed: [9; 32] };
            let frozen = journal.append(Freeze(key), stamp);
            assert!(frozen.is_ok_and(|pending| pending.wait_blocking().is_ok()));
            let mut world = fake.world.lock().unwrap();
            world.revision = 1;
            after(&mut world);
        }));
    });
}
