//! RFC 7009: a client revokes its own tokens, and learns nothing about others.

use crate::house::{Ask, House};
use model::record::RecordKind;

fn revoke(agent: &str, jti: &str, token: &str) -> Ask {
    Ask::authenticated("/oauth/revoke", agent, jti).with("token", token)
}

#[tokio::test]
async fn the_own_token_is_revoked_in_control_state_before_the_answer() {
    let house = House::new();
    let token = house.ask(&Ask::token("helpdesk", "one")).await.text("access_token");
    let answer = house.ask(&revoke("helpdesk", "two", &token)).await;
    assert_eq!((answer.status.as_u16(), answer.body.len()), (200, 0));
    let records = house.records();
    assert_eq!(records[1].kind, RecordKind::Control);
    let id = records[0].member("token").unwrap();
    assert_eq!(records[1].member("token"), Some(id.clone()));
    let control = house.control();
    let value = control.get(&format!("revoked/token/{id}")).unwrap();
    assert_eq!(value, br#"{"agent":"helpdesk","until":1795000900}"#);
    let again = house.ask(&revoke("helpdesk", "two", &token)).await;
    assert_eq!(again.error(), (401, "invalid_client".into()), "the assertion is used up");
}

#[tokio::test]
async fn a_foreign_or_unknown_token_is_left_alone_without_a_word() {
    let house = House::new();
    let token = house.ask(&Ask::token("helpdesk", "one")).await.text("access_token");
    for (place, text) in [token.as_str(), "x.y.z", "opaque"].into_iter().enumerate() {
        let answer = house.ask(&revoke("batch", &format!("b{place}"), text)).await;
        assert_eq!((answer.status.as_u16(), answer.body.len()), (200, 0), "{place}");
    }
    assert!(house.control().is_empty());
    let records = house.records();
    assert_eq!(records.len(), 4);
    for record in &records[1..] {
        assert_eq!(record.kind, RecordKind::Token);
        assert_eq!(record.member("operation").as_deref(), Some("revoke"));
        assert_eq!(record.member("decision").as_deref(), Some("deny"));
    }
}

#[tokio::test]
async fn a_stranger_revokes_nothing() {
    let house = House::new();
    let token = house.ask(&Ask::token("helpdesk", "one")).await.text("access_token");
    let ask = revoke("helpdesk", "two", &token).without("client_assertion");
    assert_eq!(house.ask(&ask).await.error(), (401, "invalid_client".into()));
    let ask = revoke("helpdesk", "three", &token).without("token");
    assert_eq!(house.ask(&ask).await.error(), (400, "invalid_request".into()));
    assert!(house.control().is_empty());
}

#[tokio::test]
async fn without_a_ledger_nothing_is_called_revoked() {
    let mut house = House::new();
    let token = house.ask(&Ask::token("helpdesk", "one")).await.text("access_token");
    house.stop();
    for (place, text) in [token.as_str(), "opaque"].into_iter().enumerate() {
        let answer = house.ask(&revoke("helpdesk", &format!("r{place}"), text)).await;
        assert_eq!(answer.error(), (503, "temporarily_unavailable".into()));
    }
}
