//! What the registry says of an agent, its version and its instances decides whether it gets a token.

use crate::house::{Ask, House, agent_key, proof};
use model::{Code, Digest};

#[tokio::test]
async fn whom_the_registry_does_not_let_act_is_told_why_and_recorded() {
    for (code, alarm) in [
        (Code::AgentSuspended, None),
        (Code::AgentDecommissioned, None),
        (Code::OwnerAbsent, None),
        (Code::VersionUnreviewed, None),
        (Code::EnvironmentMismatch, Some("true")),
    ] {
        let house = House::new();
        house.change(|world| world.refused = Some(code));
        let answer = house.ask(&Ask::token("helpdesk", "one")).await;
        assert_eq!(answer.error(), (400, "unauthorized_client".into()), "{code}");
        let description = answer.text("error_description");
        assert!(description.starts_with(code.slug()), "{description}");
        let [record] = &house.records()[..] else { panic!("one record") };
        assert_eq!(record.member("code").as_deref(), Some(code.slug()));
        assert_eq!(record.member("alarm").as_deref(), alarm, "{code}");
        house.change(|world| world.refused = None);
        assert_eq!(house.ask(&Ask::token("helpdesk", "two")).await.status, 200, "{code}");
    }
}

#[tokio::test]
async fn an_earlier_version_goes_on_only_where_it_says_so_and_may() {
    let house = House::new();
    let (earlier, newest) = (Digest([4; 32]), Digest([5; 32]));
    house.change(|world| {
        world.refused = Some(Code::VersionUnreviewed);
        world.going_on.insert(earlier);
    });
    let asked = |jti: &str, version: Option<Digest>| {
        let ask = Ask::token("helpdesk", jti);
        version.map_or(ask.clone(), |version| ask.with("agent_version", &version.to_string()))
    };
    assert_eq!(house.ask(&asked("one", None)).await.status, 400);
    assert_eq!(house.ask(&asked("two", Some(newest))).await.status, 400);
    assert_eq!(house.ask(&asked("three", Some(earlier))).await.status, 200);
    let record = house.records().pop().unwrap();
    assert_eq!(record.member("version"), Some(earlier.to_string()));
    let unknown = house.ask(&asked("four", Some(Digest([9; 32])))).await;
    assert!(unknown.text("error_description").starts_with("version_changed"));
    let nonsense = asked("five", None).with("agent_version", "latest");
    assert_eq!(house.ask(&nonsense).await.status, 400);
}

#[tokio::test]
async fn an_instances_tokens_are_bound_to_its_own_key() {
    let foreign = |jti: &str| {
        Ask::token("helpdesk", jti).without("dpop").header("dpop", &proof("batch", jti))
    };
    let house = House::new();
    assert_eq!(house.ask(&foreign("one")).await.status, 200, "a declared key may prove another");
    let own = agent_key("helpdesk").public().thumbprint().to_owned();
    house.change(|world| {
        world.instances.insert(own.clone());
    });
    assert_eq!(house.ask(&foreign("two")).await.error(), (400, "invalid_dpop_proof".into()));
    assert_eq!(house.ask(&Ask::token("helpdesk", "three")).await.status, 200);
    // It ends with its key.
    house.revoke("instance", &own);
    let answer = house.ask(&Ask::token("helpdesk", "four")).await;
    assert_eq!(answer.error(), (400, "unauthorized_client".into()));
}
