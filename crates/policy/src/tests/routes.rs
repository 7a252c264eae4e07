//! Which request is which action: routes, what looks like their literals, and the names in their queries.

use super::world::{World, action, entry, name};
use crate::{ArgumentError, Compiled, QUERY};
use canonical::Value;
use model::RiskTier;
use model::declared::{Action, Route, Segment, Upstream, UpstreamKind};
use std::collections::BTreeMap;

/// An upstream `api` with these routes; each action is named by its route.
fn api(routes: &[(&str, &str)]) -> Compiled {
    let actions: BTreeMap<String, Action> = routes
        .iter()
        .map(|(operation, route)| {
            let (method, path) = route.split_once(' ').unwrap();
            let (path, query) = path.split_once('?').unwrap_or((path, ""));
            let segment = |part: &str| match part.strip_prefix('{') {
                Some(param) => Segment::Param(param.trim_end_matches('}').into()),
                None => Segment::Literal(part.into()),
            };
            let route = Route {
                method: method.into(),
                segments: path.trim_start_matches('/').split('/').map(segment).collect(),
                query: query.split('&').filter(|n| !n.is_empty()).map(str::to_owned).collect(),
            };
            let action = Action { route: Some(route), ..entry(RiskTier::Low) };
            ((*operation).to_owned(), action)
        })
        .collect();
    let world = World::new().with(|declared| {
        let api = Upstream {
            kind: UpstreamKind::Http,
            url: "http://127.0.0.1:1".into(),
            local: None,
            environment: None,
            credential: None,
            actions,
            default_action: None,
            line: 1,
        };
        declared.upstreams.insert(name("api"), api);
        let boundary = declared.agents[&name("helpdesk")].boundary.clone();
        declared.boundaries.get_mut(&boundary).unwrap().upstreams.insert(name("api"));
    });
    world.compile()
}

fn routed(compiled: &Compiled, method: &str, path: &str) -> String {
    let path: Vec<&str> = path.split('/').collect();
    let found = compiled.route(&name("api"), method, &path);
    found.map_or("none".into(), |(action, _)| action.operation.to_string())
}

#[test]
fn a_parameter_takes_no_lookalike_of_a_literal() {
    let compiled = api(&[
        ("admin", "GET /users/admin"),
        ("user", "GET /users/{id}"),
        ("keys", "GET /users/admin/keys"),
        ("of", "GET /users/{id}/{what}"),
        ("street", "GET /users/strasse"),
    ]);
    // The twin without the literal: the same paths are the parameter's.
    let twin = api(&[("user", "GET /users/{id}"), ("of", "GET /users/{id}/{what}")]);
    let lookalikes = [
        "users/Admin",
        "users/ADMIN",
        "users/admin.",
        "users/admin ",
        "users/ admin",
        "users/admin..",
        "users/%61dmin",
        "users/admin;x=1",
        "users/\u{ff41}dmin",
        "users/ad\u{200b}min",
        "users/adm\u{131}n",
        "users/stra\u{df}e",
        "users/Admin/keys",
        "users/admin/Keys",
        "users/ADMIN/KEYS",
    ];
    for path in lookalikes {
        assert_eq!(routed(&compiled, "GET", path), "none", "{path}");
        assert_ne!(routed(&twin, "GET", path), "none", "twin of {path}");
    }
    assert_eq!(routed(&compiled, "GET", "users/admin"), "admin");
    assert_eq!(routed(&compiled, "GET", "users/administrator"), "user");
    assert_eq!(routed(&compiled, "GET", "users/bob"), "user");
    assert_eq!(routed(&compiled, "GET", "users/admin/keys"), "keys");
    assert_eq!(routed(&compiled, "GET", "users/admin/tokens"), "of");
}

#[test]
fn literals_win_from_the_left_where_both_fit() {
    let compiled = api(&[("left", "GET /x/{b}"), ("right", "GET /{a}/y")]);
    assert_eq!(routed(&compiled, "GET", "x/y"), "left");
    assert_eq!(routed(&compiled, "GET", "x/z"), "left");
    assert_eq!(routed(&compiled, "GET", "z/y"), "right");
    assert_eq!(routed(&compiled, "GET", "x/Y"), "none");
    assert_eq!(routed(&compiled, "GET", "X/y"), "none");
}

#[test]
fn a_query_holds_only_names_that_its_route_states() {
    let compiled = api(&[("list", "GET /users?page&sort"), ("user", "GET /users/{id}")]);
    let version = compiled.agent(&name("helpdesk")).unwrap().version;
    let call = |id: &str, arguments: &[(&str, &str)], query: &[&str]| {
        let mut object = canonical::Object::new();
        for (name, value) in arguments {
            object.insert((*name).to_owned(), Value::from(*value)).unwrap();
        }
        let names = query.iter().map(|name| Value::from(*name)).collect();
        object.insert(QUERY.to_owned(), Value::Array(names)).unwrap();
        compiled.slice(&version, &action(id)).unwrap().look_up(Value::Object(object)).map(drop)
    };
    assert_eq!(call("api.list", &[("page", "2")], &["page"]), Ok(()));
    assert_eq!(call("api.list", &[("page", "2"), ("sort", "a")], &["page", "sort"]), Ok(()));
    let unstated = |name: &str| Err(ArgumentError::Query { name: name.into() });
    assert_eq!(call("api.list", &[("admin", "1")], &["admin"]), unstated("admin"));
    assert_eq!(call("api.list", &[("Page", "2")], &["Page"]), unstated("Page"));
    assert_eq!(call("api.user", &[("id", "7"), ("page", "2")], &["page"]), unstated("page"));
    assert_eq!(call("api.user", &[("id", "7")], &[]), Ok(()));
}
