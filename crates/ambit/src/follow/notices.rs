//! Tells the hooks of `after: [notify]` how an action ended.

use super::{Cursor, Pace, records};
use crate::{app::App, limits, ops};
use model::{
    ActionId, Name,
    declared::{After, Hook},
    record::RecordKind,
};
use serde_json::{Value, json};
use std::{collections::BTreeMap, sync::Arc};
use store::Record;
use tokio_util::sync::CancellationToken;

struct Told {
    cursor: Cursor,
    pace: Pace,
    due: tokio::time::Instant,
}

/// Follows until told to stop. Each hook has its own cursor: one that is away holds up no other.
pub(super) async fn follow(app: Arc<App>, stop: CancellationToken) {
    let mut all: BTreeMap<Name, Told> = BTreeMap::new();
    loop {
        tokio::select! {
            () = tokio::time::sleep(limits::FOLLOW_PACE) => {}
            () = stop.cancelled() => return,
        }
        let world = app.gate.world();
        let hooks = &world.compiled.declared().hooks;
        for (name, hook) in hooks.iter().filter(|(name, _)| is_told(&world, name)) {
            let told = all.entry(name.clone()).or_insert_with(|| Told {
                cursor: Cursor::open(
                    &app.settings.data,
                    &format!("notify-{name}"),
                    app.store.size(),
                ),
                pace: Pace::new(),
                due: tokio::time::Instant::now(),
            });
            if told.due <= tokio::time::Instant::now() {
                advance(&app, &world, (name, hook), told).await;
                told.due = tokio::time::Instant::now() + told.pace.wait();
            }
        }
    }
}

fn is_told(world: &gate::World, name: &Name) -> bool {
    world.compiled.catalog().any(|entry| tells(&entry.action.after, name))
}

fn tells(after: &[After], name: &Name) -> bool {
    after.iter().any(|after| matches!(after, After::Notify(hook) if hook == name))
}

/// Delivers what there is until the hook does not take one.
async fn advance(app: &App, world: &gate::World, (name, hook): (&Name, &Hook), told: &mut Told) {
    let from = told.cursor.next();
    let (found, end) = records(app, from, limits::FOLLOW_RECORDS).await;
    for record in &found {
        let Some(notice) = notice(world, name, record) else { continue };
        if let Err(why) = app.gate.tell(hook, notice.to_string().into_bytes()).await {
            tracing::warn!(hook = %name, %why, "a notice was not taken; it is sent again");
            told.pace.went(false);
            if record.leaf.sequence > from {
                told.cursor.advance(record.leaf.sequence);
            }
            return;
        }
    }
    told.pace.went(true);
    if end > from {
        told.cursor.advance(end);
    }
}

/// What a hook is told: who did what and how it ended; nothing personal.
fn notice(world: &gate::World, name: &Name, record: &Record) -> Option<Value> {
    if record.leaf.kind != RecordKind::Outcome {
        return None;
    }
    let envelope = ops::envelope(record);
    let action = envelope.get("action").and_then(Value::as_str)?;
    let entry = world.compiled.entry(&ActionId::parse(action).ok()?)?;
    tells(&entry.action.after, name).then(|| {
        json!({
            "type": "action.ended",
            "at": record.leaf.at.to_string(),
            "agent": envelope.get("agent"),
            "action": action,
            "entry": envelope.get("entry"),
            "trace": envelope.get("trace"),
            "ending": envelope.get("ending"),
            "code": envelope.get("code"),
            "status": envelope.get("status"),
        })
    })
}
