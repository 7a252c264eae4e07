//! What is refused, each beside a twin that is granted, and where it is written down.

use crate::house::{Ask, House, TICKETS, TOKEN, agent_key, assertion, at, name, nonce_key, proof};
use identity::{NonceKey, ProofClaims};
use model::TaskId;

/// Sends the twin, then the refused request to a fresh house.
async fn check(title: &str, refused: Ask, error: (u16, &str), is_recorded: bool) {
    check_in(&House::new(), title, refused, error, is_recorded).await;
}

async fn check_in(house: &House, title: &str, ask: Ask, error: (u16, &str), is_recorded: bool) {
    let before = house.records().len();
    let answer = house.ask(&ask).await;
    assert_eq!(
        answer.error(),
        (error.0, error.1.to_owned()),
        "{title}: {}",
        answer.text("error_description")
    );
    let records = house.records();
    assert_eq!(records.len(), before + usize::from(is_recorded), "{title}");
    assert_eq!(house.strangers().len(), usize::from(!is_recorded), "{title}");
    if is_recorded {
        let record = records.last().unwrap();
        assert_eq!(record.member("decision").as_deref(), Some("deny"), "{title}");
        let code = record.member("code").unwrap();
        assert!(answer.text("error_description").starts_with(&code), "{title}");
    }
    let description = answer.text("error_description");
    assert!(description.bytes().all(|byte| (b' '..=b'~').contains(&byte)), "{title}");
    assert!(!description.contains('"') && !description.contains('\\'), "{title}");
}

fn good() -> Ask {
    Ask::token("helpdesk", "one")
}

#[tokio::test]
async fn the_twin_of_every_row_is_granted() {
    assert_eq!(House::new().ask(&good()).await.status, 200);
    assert_eq!(House::new().ask(&good().with("client_id", "helpdesk")).await.status, 200);
    assert_eq!(House::new().ask(&good().with("scope", "")).await.status, 200);
    assert_eq!(House::new().ask(&good().with("unknown", "x")).await.status, 200);
}

#[tokio::test]
async fn strangers_are_counted_and_not_recorded() {
    let json = Ask { headers: vec![("content-type", "application/json".into())], ..good() };
    for (title, ask, error) in [
        ("not a form", json, (400, "invalid_request")),
        ("no content type", good().without("content-type"), (400, "invalid_request")),
        ("a parameter twice", good().more("grant_type", "x"), (400, "invalid_request")),
        (
            "too many parameters",
            (0..40).fold(good(), |ask, _| ask.more("x", "")),
            (400, "invalid_request"),
        ),
        (
            "too large",
            good().with("x", &"a".repeat(issuer::limits::BODY_BYTES)),
            (400, "invalid_request"),
        ),
        ("no assertion", good().without("client_assertion"), (401, "invalid_client")),
        (
            "another assertion type",
            good().with("client_assertion_type", "x"),
            (401, "invalid_client"),
        ),
        ("a secret", good().with("client_secret", "s3cret"), (401, "invalid_client")),
        ("basic", good().header("authorization", "Basic YTpi"), (401, "invalid_client")),
        (
            "another key",
            good().with("client_assertion", &by_another_key()),
            (401, "invalid_client"),
        ),
        ("nonsense", good().with("client_assertion", "a.b.c"), (401, "invalid_client")),
        ("client_id of another", good().with("client_id", "batch"), (401, "invalid_client")),
    ] {
        check(title, ask, error, false).await;
    }
}

/// An assertion in the name of `helpdesk` by another agent's key, under that key's `kid`.
fn by_another_key() -> String {
    let claims = identity::AssertionClaims {
        agent: &name("helpdesk"),
        audience: crate::house::ISSUER,
        jti: "x",
        issued: at(0),
        expires: at(60),
    };
    agent_key("batch").assertion(&claims).unwrap()
}

#[tokio::test]
async fn an_unknown_agent_and_a_wrong_key_are_told_the_same() {
    let (good_one, other) = (assertion("helpdesk", "one"), assertion("helpdesk", "two"));
    let (signed, _) = good_one.rsplit_once('.').unwrap();
    let (_, signature) = other.rsplit_once('.').unwrap();
    let (_, rest) = good_one.split_once('.').unwrap();
    let with = |text: &str| good().with("client_assertion", text);
    let house = House::new();
    house.change(|world| {
        world.agents.remove(&name("helpdesk"));
    });
    let unknown = house.ask(&good()).await;
    assert_eq!(unknown.error(), (401, "invalid_client".into()));
    for (title, ask) in [
        ("another key's `kid`", with(&by_another_key())),
        ("another signature", with(&format!("{signed}.{signature}"))),
        // The header is `{"alg":"ES256"}`.
        ("another `alg`", with(&format!("eyJhbGciOiJFUzI1NiJ9.{rest}"))),
    ] {
        let answer = House::new().ask(&ask).await;
        assert_eq!(answer.body, unknown.body, "{title}");
        assert_eq!(answer.headers, unknown.headers, "{title}");
    }
}

#[tokio::test]
async fn a_body_that_is_not_ascii_is_no_form() {
    let house = House::new();
    let request = http::Request::post("/oauth/token")
        .header("content-type", "application/x-www-form-urlencoded")
        .body(axum::body::Body::from("grant_type=é"));
    assert_eq!(house.send(request.unwrap()).await.error(), (400, "invalid_request".into()));
}

#[tokio::test]
async fn clients_are_recorded() {
    let (task, mail) = (TaskId::new(at(0), [9; 10]).to_string(), "http://127.0.0.1:8400/mcp/mail");
    let bad_proof = |method, url| {
        let nonce = nonce_key().current(at(0));
        let nonce = Some(nonce.as_str());
        let claims = ProofClaims { method, url, token: None, jti: "p", issued: at(0), nonce };
        agent_key("helpdesk").proof(&claims).unwrap()
    };
    let with = |proof: &str| good().without("dpop").header("dpop", proof);
    for (title, ask, error) in [
        ("another grant", good().with("grant_type", "password"), (400, "unsupported_grant_type")),
        ("no grant", good().without("grant_type"), (400, "invalid_request")),
        ("a scope", good().with("scope", "all"), (400, "invalid_scope")),
        ("no resource", good().without("resource"), (400, "invalid_request")),
        ("an unknown door", good().with("resource", mail), (400, "invalid_target")),
        (
            "a door with a slash",
            good().with("resource", &format!("{TICKETS}/")),
            (400, "invalid_target"),
        ),
        (
            "two doors",
            good().more("resource", "http://127.0.0.1:8400/http/crm"),
            (400, "invalid_target"),
        ),
        ("one door twice", good().more("resource", TICKETS), (400, "invalid_target")),
        ("no proof", good().without("dpop"), (400, "invalid_dpop_proof")),
        (
            "two proofs",
            good().header("dpop", &proof("helpdesk", "two")),
            (400, "invalid_dpop_proof"),
        ),
        ("a proof for another method", with(&bad_proof("GET", TOKEN)), (400, "invalid_dpop_proof")),
        ("a proof for another url", with(&bad_proof("POST", TICKETS)), (400, "invalid_dpop_proof")),
        ("an empty proof", with(""), (400, "invalid_dpop_proof")),
        ("an unknown task", good().with("task", &task), (400, "invalid_grant")),
        ("no task at all", good().with("task", "x"), (400, "invalid_grant")),
    ] {
        check(title, ask, error, true).await;
    }
}

#[tokio::test]
async fn a_nonce_is_asked_for_and_the_same_assertion_may_come_again() {
    let house = House::new();
    let key = agent_key("helpdesk");
    let proof = |nonce: Option<&str>, issued| {
        let claims =
            ProofClaims { method: "POST", url: TOKEN, token: None, jti: "p", issued, nonce };
        key.proof(&claims).unwrap()
    };
    let with = |proof: &str| good().without("dpop").header("dpop", proof);
    let (old, foreign) = (nonce_key().current(at(-61)), NonceKey::new(&[1; 32]).current(at(0)));
    for (title, nonce) in
        [("none", None), ("an old one", Some(&old)), ("a stranger's", Some(&foreign))]
    {
        let before = house.strangers().len();
        let answer = house.ask(&with(&proof(nonce.map(String::as_str), at(0)))).await;
        assert_eq!(answer.error(), (400, "use_dpop_nonce".into()), "{title}");
        assert!(answer.text("error_description").contains("DPoP-Nonce"), "{title}");
        assert_eq!(house.strangers().len(), before + 1, "{title}");
        assert_eq!(house.records().len(), 0, "{title}: a challenge decides nothing");
    }
    let asked = house.ask(&with(&proof(None, at(0)))).await;
    let nonce = asked.headers["dpop-nonce"].to_str().unwrap().to_owned();
    // The client's clock is a day off, and its assertion is the one that it sent before.
    let answer = house.ask(&with(&proof(Some(&nonce), at(-86_400)))).await;
    assert_eq!(answer.status, 200, "{}", String::from_utf8_lossy(&answer.body));
    assert!(answer.headers.contains_key("dpop-nonce"), "every answer brings the next one");
    let stranger = house.ask(&good().without("client_assertion")).await;
    assert!(stranger.headers.contains_key("dpop-nonce"));
    // Used up all the same: the proof is not good for another token.
    let again = with(&proof(Some(&nonce), at(-86_400)))
        .with("client_assertion", &assertion("helpdesk", "another"));
    assert_eq!(house.ask(&again).await.error(), (400, "invalid_dpop_proof".into()));
}

#[tokio::test]
async fn a_task_of_another_agent_or_an_ended_one_is_no_task() {
    let house = House::new();
    let task = house.task;
    let ask = good().with("task", &task.to_string());
    house.change(|world| world.tasks.get_mut(&task).unwrap().agent = name("batch"));
    check_in(&house, "another's", ask.clone(), (400, "invalid_grant"), true).await;
    assert_eq!(house.records()[0].member("detail").as_deref(), Some("task"));
    let house = House::new();
    house.change(|world| world.tasks.get_mut(&task).unwrap().expires = at(0));
    check_in(&house, "ended", ask.clone(), (400, "invalid_grant"), true).await;
    assert_eq!(house.records()[0].member("detail").as_deref(), Some("task"));
    let house = House::new();
    house.change(|world| {
        let end = model::Timestamp(at(0).0 + 500_000);
        world.tasks.get_mut(&task).unwrap().expires = end;
    });
    check_in(&house, "half a second left", ask, (400, "invalid_grant"), true).await;
    assert_eq!(house.records()[0].member("detail").as_deref(), Some("life"));
}

#[tokio::test]
async fn everyone_named_can_be_revoked() {
    let jkt = agent_key("helpdesk").public().thumbprint().to_owned();
    let house = House::new();
    let task = house.task.to_string();
    let version = model::Digest([5; 32]).to_string();
    for (kind, subject, error) in [
        ("agent", "helpdesk", "unauthorized_client"),
        ("version", &version, "unauthorized_client"),
        ("instance", &jkt, "unauthorized_client"),
        ("task", &task, "unauthorized_client"),
        ("user", "ana", "unauthorized_client"),
        ("upstream", "tickets", "invalid_target"),
    ] {
        let house = House::new();
        house.revoke(kind, subject);
        check_in(&house, kind, good().with("task", &task), (400, error), true).await;
        let house = House::new();
        house.revoke(kind, "another");
        let twin = house.ask(&good().with("task", &task)).await;
        assert_eq!(twin.status, 200, "{kind}");
    }
}

#[tokio::test]
async fn assertions_and_proofs_are_single_use() {
    let house = House::new();
    assert_eq!(house.ask(&good()).await.status, 200);
    check_in(&house, "both again", good(), (401, "invalid_client"), false).await;

    let house = House::new();
    assert_eq!(house.ask(&good()).await.status, 200);
    let old_proof = good().with("client_assertion", &assertion("helpdesk", "two"));
    check_in(&house, "the proof again", old_proof.clone(), (400, "invalid_dpop_proof"), true).await;
    let fresh_proof = old_proof
        .without("dpop")
        .header("dpop", &proof("helpdesk", "three"))
        .with("client_assertion", &assertion("helpdesk", "four"));
    assert_eq!(house.ask(&fresh_proof).await.status, 200, "both fresh");
}

#[tokio::test]
async fn a_refusal_uses_the_assertion_up_and_cannot_be_repeated_into_the_ledger() {
    let house = House::new();
    let refused = good().with("resource", "http://127.0.0.1:8400/mcp/mail");
    check_in(&house, "first", refused.clone(), (400, "invalid_target"), true).await;
    for _ in 0..3 {
        assert_eq!(house.ask(&refused).await.error(), (401, "invalid_client".into()));
    }
    assert_eq!((house.records().len(), house.strangers().len()), (1, 3));
    assert_eq!(house.ask(&good()).await.error(), (401, "invalid_client".into()));
}

#[tokio::test]
async fn a_race_with_one_assertion_has_one_winner() {
    let house = House::new();
    let (first, second) = (good(), good());
    let (first, second) = tokio::join!(house.ask(&first), house.ask(&second));
    let mut statuses = [first.status.as_u16(), second.status.as_u16()];
    statuses.sort_unstable();
    assert_eq!(statuses, [200, 401]);
    assert_eq!(house.records().len(), 1);
}

#[tokio::test]
async fn without_a_ledger_nothing_is_answered_but_that() {
    let mut house = House::new();
    house.stop();
    let answer = house.ask(&good()).await;
    assert_eq!(answer.error(), (503, "temporarily_unavailable".into()));
    assert!(answer.headers.contains_key("retry-after"));
    let refused = house.ask(&good().with("resource", "x")).await;
    assert_eq!(refused.error(), (503, "temporarily_unavailable".into()), "not the refusal");
}

#[tokio::test]
async fn what_a_client_wrote_stands_among_the_arguments_only() {
    let house = House::new();
    let long = format!("http://127.0.0.1:8400/mcp/{}", "mallory".repeat(200));
    house.ask(&good().with("resource", &long).with("task", "eve")).await;
    let records = house.records();
    assert!(!records[0].envelope.contains("mallory"), "{}", records[0].envelope);
    assert!(records[0].arguments.contains("mallory") && records[0].arguments.contains("eve"));
    assert!(records[0].arguments.len() < 700, "cut");
}
