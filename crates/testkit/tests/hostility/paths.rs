//! Paths, hosts, methods and queries that two readers could read differently.

use crate::{
    raw,
    stage::{Row, Stage, check},
};
use anyhow::{Result, ensure};

#[test]
fn a_path_is_read_one_way_or_not_at_all() -> Result<()> {
    let stage = Stage::set()?;
    let (host, bearer) = (stage.host(), stage.bearer("reader", "api")?);
    let get = |path: &str| raw::request(&format!("GET {path} HTTP/1.1"), &[&host, &bearer], "");
    let ticket = "/http/api/tickets/4711";
    let user = "/http/api/users/bob";
    let rows: [(&str, &str, &str); 32] = [
        ("dots", "/http/api/tickets/../users/admin", ticket),
        ("dots at the end", "/http/api/users/admin/..", user),
        ("a single dot", "/http/api/./fast", "/http/api/fast"),
        ("encoded dots", "/http/api/tickets/%2e%2e/users/admin", ticket),
        ("dots out of the door", "/http/api/../../mcp/tools", ticket),
        ("half-encoded dots", "/http/api/tickets/.%2E", ticket),
        ("double encoding", "/http/api/tickets/%252e%252e", ticket),
        ("an encoded slash", "/http/api/users%2fadmin", user),
        ("an encoded slash in a parameter", "/http/api/tickets/..%2fusers", ticket),
        ("a backslash", "/http/api/users%5cadmin", user),
        ("an empty segment", "/http/api//users/admin", user),
        ("an empty segment inside", "/http/api/users//admin", user),
        ("a slash at the end", "/http/api/users/admin/", user),
        ("a null byte", "/http/api/users/admin%00", user),
        ("a null byte before an extension", "/http/api/users/admin%00.json", user),
        ("a line end", "/http/api/tickets/4711%0d%0ax-evil:1", ticket),
        ("a path parameter", "/http/api/users/admin;v=1", user),
        ("a matrix parameter inside", "/http/api;x=1/users/admin", user),
        ("a dot at the end", "/http/api/users/admin.", user),
        ("a space at the end", "/http/api/users/admin%20", user),
        ("a space at the beginning", "/http/api/users/%20admin", user),
        ("another case of a literal", "/http/api/users/Admin", user),
        ("all capitals", "/http/api/users/ADMIN", user),
        ("a literal's letter encoded", "/http/api/users/%61dmin", user),
        ("full-width letters", "/http/api/users/%ef%bd%81dmin", user),
        ("an invisible letter", "/http/api/users/ad%e2%80%8bmin", user),
        ("a letter that folds", "/http/api/users/adm%c4%b1n", user),
        ("another case of a route", "/http/api/Tickets/4711", ticket),
        ("overlong UTF-8", "/http/api/tickets/%c0%ae%c0%ae", ticket),
        ("no UTF-8", "/http/api/tickets/%ff", ticket),
        ("a broken escape", "/http/api/tickets/%2", ticket),
        ("another case of the door", "/HTTP/api/tickets/4711", ticket),
    ];
    let rows: Vec<Row<'_>> = rows
        .iter()
        .map(|(what, attack, twin)| {
            let arrives = match *twin {
                path if path == ticket => "GET /tickets/4711",
                path if path == user => "GET /users/bob",
                _ => "GET /fast",
            };
            Row { what, attack: get(attack), twin: twin_of(&get, twin), arrives }
        })
        .collect();
    // `GET /users/bob` is not found at the upstream, and that is its own answer: looked at apart.
    let (users, others): (Vec<_>, Vec<_>) =
        rows.into_iter().partition(|row| row.arrives == "GET /users/bob");
    check(&stage, &others)?;
    for row in users {
        let before = stage.reached().len();
        let back = stage.send(&row.attack)?;
        ensure!((400..500).contains(&back.status), "{}: {back:?}", row.what);
        ensure!(stage.reached().len() == before, "{}: something was forwarded", row.what);
        let back = stage.send(&row.twin)?;
        ensure!(back.status == 404 && back.text.contains("no such route"), "{back:?}");
        ensure!(stage.reached().last().is_some_and(|last| last == "GET /users/bob"));
    }
    ensure!(!stage.reached().iter().any(|line| line.to_lowercase().contains("admin")));
    Ok(())
}

fn twin_of(get: &impl Fn(&str) -> Vec<u8>, path: &str) -> Vec<u8> {
    get(path)
}

#[test]
fn a_request_is_for_this_door_and_says_only_what_its_route_states() -> Result<()> {
    let stage = Stage::set()?;
    let (host, bearer) = (stage.host(), stage.bearer("reader", "api")?);
    let ticket = |line: &str, headers: &[&str]| {
        let mut all = vec![bearer.as_str()];
        all.extend(headers);
        raw::request(line, &all, "")
    };
    let plain = "GET /http/api/tickets/4711 HTTP/1.1";
    let good = ticket(plain, &[&host]);
    let own = stage.home.front();
    let absolute = |base: &str| format!("GET {base}/http/api/tickets/4711 HTTP/1.1");
    let foreign = "host: evil.example";
    let user = format!("host: reader@{}", stage.address());
    let (port_first, _) = stage
        .address()
        .split_once(':')
        .map(|(a, b)| (a.to_owned(), b.to_owned()))
        .unwrap_or_default();
    let no_port = format!("host: {port_first}");
    let slow = ticket("GET /http/api/slow?ms=1 HTTP/1.1", &[&host]);
    let row =
        |what, attack, twin: &Vec<u8>, arrives| Row { what, attack, twin: twin.clone(), arrives };
    let own_absolute = ticket(&absolute(&own), &[&host]);
    let arrives = "GET /tickets/4711";
    check(
        &stage,
        &[
            row("a foreign host", ticket(plain, &[foreign]), &good, arrives),
            row("no host", ticket(plain, &[]), &good, arrives),
            row("two hosts", ticket(plain, &[&host, foreign]), &good, arrives),
            row("two equal hosts", ticket(plain, &[&host, &host]), &good, arrives),
            row("a host without its port", ticket(plain, &[&no_port]), &good, arrives),
            row(
                "a foreign origin",
                ticket(plain, &[&host, "origin: http://evil.example"]),
                &good,
                arrives,
            ),
            row("a null origin", ticket(plain, &[&host, "origin: null"]), &good, arrives),
            row(
                "absolute form, elsewhere",
                ticket(&absolute("http://evil.example"), &[&host]),
                &own_absolute,
                arrives,
            ),
            row(
                "absolute form, a foreign scheme",
                ticket(&absolute("ftp://evil.example"), &[&host]),
                &own_absolute,
                arrives,
            ),
            row(
                "a tunnel",
                ticket("CONNECT 169.254.169.254:80 HTTP/1.1", &[&host]),
                &good,
                arrives,
            ),
            row(
                "another method",
                ticket("DELETE /http/api/tickets/4711 HTTP/1.1", &[&host]),
                &good,
                arrives,
            ),
            row(
                "a method of another case",
                ticket("get /http/api/tickets/4711 HTTP/1.1", &[&host]),
                &good,
                arrives,
            ),
            row(
                "an unknown method",
                ticket("STEAL /http/api/tickets/4711 HTTP/1.1", &[&host]),
                &good,
                arrives,
            ),
            row(
                "a query name that is not stated",
                ticket("GET /http/api/slow?ms=1&admin=1 HTTP/1.1", &[&host]),
                &slow,
                "GET /slow?ms=1",
            ),
            row(
                "the same in another case",
                ticket("GET /http/api/slow?MS=1 HTTP/1.1", &[&host]),
                &slow,
                "GET /slow?ms=1",
            ),
            row(
                "a name twice",
                ticket("GET /http/api/slow?ms=1&ms=2 HTTP/1.1", &[&host]),
                &slow,
                "GET /slow?ms=1",
            ),
            row(
                "a name twice, once encoded",
                ticket("GET /http/api/slow?ms=1&%6ds=2 HTTP/1.1", &[&host]),
                &slow,
                "GET /slow?ms=1",
            ),
            row(
                "an array by brackets",
                ticket("GET /http/api/slow?ms[]=1 HTTP/1.1", &[&host]),
                &slow,
                "GET /slow?ms=1",
            ),
            row(
                "a query where none is stated",
                ticket("GET /http/api/tickets/4711?fields=body HTTP/1.1", &[&host]),
                &good,
                arrives,
            ),
        ],
    )?;
    // What frameworks take for another address or method goes no further.
    let steering = [
        "x-original-url: /users/admin",
        "x-rewrite-url: /users/admin",
        "x-http-method-override: DELETE",
        "x-forwarded-host: evil.example",
        "x-forwarded-for: 127.0.0.1",
        "forwarded: for=127.0.0.1",
        "x-agent-did: did:mesh:admin",
        "x-agent-capabilities: admin:*",
        "cookie: session=admin",
    ];
    let mut headers = vec![host.as_str(), user.as_str()];
    headers.truncate(1);
    headers.extend(steering);
    let back = stage.send(&ticket(plain, &headers))?;
    ensure!(back.status == 200, "{back:?}");
    let seen = stage.api.oracle.of("request");
    let seen = seen.last().and_then(|event| event.get("headers")).map(ToString::to_string);
    let seen = seen.unwrap_or_default();
    for name in steering.iter().filter_map(|header| header.split(':').next()) {
        ensure!(!seen.contains(&format!("\"{name}\"")), "{name} reached the upstream: {seen}");
    }
    Ok(())
}
