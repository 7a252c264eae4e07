//! Assertions of foreign workloads that are used again, each by the key that came first.

use crate::house::{Ask, House, ISSUER, Record, TICKETS, TOKEN, agent_key, at, name, nonce_key};
use identity::{AgentKey, Algorithm, AssertionClaims, ForeignKeys, ProofClaims};
use issuer::limits::PINNED_REFUSALS;
use model::{Duration, declared::Federated};
use std::collections::BTreeMap;

/// The foreign issuer, which is also its one workload.
const CLUSTER: &str = "cluster";

fn cluster_key() -> AgentKey {
    AgentKey::from_random(Algorithm::EdDsa, &[40; 32]).unwrap()
}

/// A house in which both agents are the workload, pinned by this claim or not.
fn house(pin: Option<&str>) -> House {
    let house = House::new();
    let jwk = String::from_utf8(cluster_key().public().jwk()).unwrap();
    let keys = ForeignKeys::parse(format!(r#"{{"keys":[{jwk}]}}"#).as_bytes()).unwrap();
    *house.fake.foreign.lock().unwrap() = Some(keys);
    house.change(|world| {
        for agent in world.agents.values_mut() {
            agent.federated = vec![Federated {
                issuer: CLUSTER.into(),
                subject: CLUSTER.into(),
                claims: BTreeMap::new(),
                max_age: Duration::seconds(300),
                pin: pin.map(str::to_owned),
            }];
        }
    });
    house
}

/// A token request with an assertion of this second, and with a proof by an agent's key.
fn ask(agent: &str, second: i64, proof: Option<(&str, &str)>) -> Ask {
    let claims = AssertionClaims {
        agent: &name(CLUSTER),
        audience: ISSUER,
        jti: "one",
        issued: at(second),
        expires: at(second + 60),
    };
    let ask = Ask::plain("/oauth/token")
        .with("grant_type", "client_credentials")
        .with("resource", TICKETS)
        .with("client_id", agent)
        .with("client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:jwt-bearer")
        .with("client_assertion", &cluster_key().assertion(&claims).unwrap());
    let Some((key, jti)) = proof else { return ask };
    let nonce = nonce_key().current(at(second));
    let claims = ProofClaims {
        method: "POST",
        url: TOKEN,
        token: None,
        jti,
        issued: at(second),
        nonce: Some(&nonce),
    };
    ask.header("dpop", &agent_key(key).proof(&claims).unwrap())
}

#[tokio::test]
async fn a_reused_assertion_is_held_to_its_first_key_while_it_lives() {
    let house = house(Some("sub"));
    let key = |agent: &str| Some(agent_key(agent).public().thumbprint().to_owned());
    assert_eq!(house.ask(&ask("helpdesk", 0, Some(("helpdesk", "1")))).await.status, 200);
    let record = house.records().pop().unwrap();
    assert_eq!(record.member("federated_pin"), Some(CLUSTER.into()));
    assert_eq!(record.member("instance"), key("helpdesk"));
    let other = house.ask(&ask("helpdesk", 0, Some(("batch", "2")))).await;
    assert_eq!(other.error(), (401, "invalid_client".into()));
    assert!(other.text("error_description").starts_with("key_pinned (AMB1010): "));
    let record = house.records().pop().unwrap();
    for (member, value) in [("alarm", "true"), ("code", "key_pinned"), ("decision", "deny")] {
        assert_eq!(record.member(member).as_deref(), Some(value));
    }
    assert_eq!(record.member("instance"), key("batch"));
    // A request that is refused pins nothing: the first that is granted does.
    let elsewhere = ask("batch", 0, Some(("batch", "3"))).with("resource", "http://else.example");
    assert_eq!(house.ask(&elsewhere).await.error(), (400, "invalid_target".into()));
    assert_eq!(house.ask(&ask("batch", 0, Some(("helpdesk", "4")))).await.status, 200);
    // Each use makes the pin last as long as its assertion; then the workload may come with another key.
    house.change(|world| world.now = at(60));
    assert_eq!(house.ask(&ask("helpdesk", 60, Some(("helpdesk", "5")))).await.status, 200);
    house.change(|world| world.now = at(184));
    let early = house.ask(&ask("helpdesk", 184, Some(("batch", "6")))).await;
    assert_eq!(early.error(), (401, "invalid_client".into()));
    house.change(|world| world.now = at(185));
    assert_eq!(house.ask(&ask("helpdesk", 185, Some(("batch", "7")))).await.status, 200);
    let late = house.ask(&ask("helpdesk", 185, Some(("helpdesk", "8")))).await;
    assert_eq!(late.error(), (401, "invalid_client".into()));
}

#[tokio::test]
async fn a_reused_assertion_alone_is_nothing_even_for_an_agent_whose_tokens_are_bound_to_nothing() {
    let bare = house(Some("sub")).ask(&ask("batch", 0, None)).await;
    assert_eq!(bare.error(), (400, "invalid_dpop_proof".into()));
    // The twin: where it counts once, it is enough, once.
    let house = house(None);
    assert_eq!(house.ask(&ask("batch", 0, None)).await.status, 200);
    assert_eq!(house.ask(&ask("batch", 0, None)).await.error(), (401, "invalid_client".into()));
    assert_eq!(house.records().len(), 1, "the second was a stranger's");
}

#[tokio::test]
async fn a_copied_assertion_does_not_fill_the_ledger() {
    let house = house(Some("sub"));
    let proof = |number: u32| ask("helpdesk", 0, Some(("batch", &format!("p{number}"))));
    assert_eq!(house.ask(&ask("helpdesk", 0, Some(("helpdesk", "1")))).await.status, 200);
    for number in 0..PINNED_REFUSALS + 40 {
        assert_eq!(house.ask(&proof(number)).await.error(), (401, "invalid_client".into()));
        assert_eq!(house.ask(&ask("helpdesk", 0, None)).await.error().0, 400);
    }
    // Each kind for itself; the rest is counted.
    let records = house.records();
    let of = |code: &str| {
        let is = |record: &&Record| record.member("code").as_deref() == Some(code);
        u32::try_from(records.iter().filter(is).count()).unwrap()
    };
    assert_eq!((of("key_pinned"), of("proof_invalid")), (PINNED_REFUSALS, PINNED_REFUSALS));
    assert_eq!(house.strangers().len(), 80);
    assert_eq!(house.ask(&ask("helpdesk", 0, Some(("helpdesk", "2")))).await.status, 200);
}

#[tokio::test]
async fn an_assertion_without_the_claim_that_pins_is_nobodys() {
    let house = house(Some("/kubernetes.io/pod/uid"));
    let refused = house.ask(&ask("helpdesk", 0, Some(("helpdesk", "1")))).await;
    assert_eq!(refused.error(), (401, "invalid_client".into()));
    assert!(house.records().is_empty(), "counted, not recorded");
}
