//! Paths that are doors, and names at them.

use super::*;

#[test]
fn paths_are_doors_or_nothing() {
    let check = |path: &str, expected: Option<Option<(&str, bool)>>| {
        let way = of_path(path);
        let way = way.as_ref().map(|way| way.as_ref().map(|way| (way.door.as_str(), way.silent)));
        assert_eq!(way, expected, "{path}");
    };
    check("/mcp", Some(Some(("*", false))));
    check("/mcp/tickets", Some(Some(("tickets", false))));
    check("/bearer/mcp", Some(Some(("*", true))));
    check("/bearer/mcp/tickets", Some(Some(("tickets", true))));
    check("/mcp/", Some(None));
    check("/mcp/tickets/", Some(None));
    check("/mcp/Tickets%2F", Some(None));
    check("/mcpx", None);
    check("/bearermcp", None);
    check("/http/tickets", None);
}

#[test]
fn at_the_door_of_all_each_name_says_whose_it_is() {
    let tickets = Name::new("tickets").expect("a name");
    let one = Door::One(tickets.clone());
    for (door, name, uri) in
        [(&one, "a.b", "test://x"), (&Door::All, "tickets.a.b", "tickets+test://x")]
    {
        assert_eq!(door.shown(&tickets, "a.b"), name);
        assert_eq!(door.place(name), Some((tickets.clone(), "a.b".to_owned())));
        assert_eq!(door.shown_uri(&tickets, "test://x"), uri);
        assert_eq!(door.place_of_uri(uri), Some((tickets.clone(), "test://x".to_owned())));
    }
    assert_eq!(Door::All.place("read"), None);
    assert_eq!(Door::All.place_of_uri("test://x"), None);
}
