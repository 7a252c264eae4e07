//! What is recorded of a question about a token, and keys that are too old.

use crate::house::{Ask, House, agent_key, name};

#[tokio::test]
async fn a_question_uses_its_assertion_up_and_is_recorded() {
    let house = House::new();
    let token = house.ask(&Ask::token("helpdesk", "one")).await.text("access_token");
    let ask = Ask::authenticated("/oauth/introspect", "helpdesk", "two").with("token", &token);
    let told = house.ask(&ask).await;
    assert_eq!(told.json().get("active").and_then(canonical::Value::as_bool), Some(true));
    assert_eq!(
        house.ask(&ask).await.error(),
        (401, "invalid_client".into()),
        "the assertion again"
    );
    let record = house.records().pop().unwrap();
    assert_eq!(record.member("operation").as_deref(), Some("introspect"));
    assert!(record.member("token").is_some());
    let of_another =
        Ask::authenticated("/oauth/introspect", "batch", "three").with("token", &token);
    assert_eq!(house.ask(&of_another).await.body, br#"{"active":false}"#);
    assert!(house.records().pop().unwrap().member("token").is_none());
    for (kind, subject) in [("agent", "helpdesk"), ("owner", "group:it"), ("upstream", "tickets")] {
        let house = House::new();
        let token = house.ask(&Ask::token("helpdesk", "one")).await.text("access_token");
        house.revoke(kind, subject);
        let ask = Ask::authenticated("/oauth/introspect", "helpdesk", "two").with("token", &token);
        assert_eq!(house.ask(&ask).await.body, br#"{"active":false}"#, "{kind}");
    }
}

#[tokio::test]
async fn an_aged_key_signs_nothing_and_binds_nothing() {
    let house = House::new();
    let aged = agent_key("helpdesk").public().thumbprint().to_owned();
    house.change(|world| {
        let agent = world.agents.get_mut(&name("helpdesk")).unwrap();
        agent.aged = [aged].into();
    });
    let answer = house.ask(&Ask::token("helpdesk", "one")).await;
    assert_eq!(answer.error(), (401, "invalid_client".into()));
    assert!(answer.text("error_description").contains("max_age"));
    assert_eq!(house.records().pop().unwrap().member("detail").as_deref(), Some("key_aged"));
    house.change(|world| {
        world.agents.get_mut(&name("helpdesk")).unwrap().aged.clear();
    });
    assert_eq!(house.ask(&Ask::token("helpdesk", "two")).await.status, 200);
}
