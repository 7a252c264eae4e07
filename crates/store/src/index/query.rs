//! Questions to the index: records by what they say, traces as a list, the last refusal.

use super::Index;
use crate::{
    error::{During, StoreError},
    limits::QUERY_RECORDS,
    record::Record,
};
use model::{EntryId, Timestamp, TraceId, record::RecordKind};
use rusqlite::{ToSql, params_from_iter};

/// Which records; everything that is set must fit.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    /// Of this trace, with the outcomes of its entries.
    pub trace: Option<TraceId>,
    /// Of this entry.
    pub entry: Option<EntryId>,
    /// Of this agent.
    pub agent: Option<String>,
    /// Of this action.
    pub action: Option<String>,
    /// Of this kind.
    pub kind: Option<RecordKind>,
    /// With this decision in the envelope.
    pub decision: Option<String>,
    /// With this code in the envelope.
    pub code: Option<String>,
    /// Of this task.
    pub task: Option<String>,
    /// With a later sequence than this.
    pub after: Option<u64>,
    /// Not before this time.
    pub since: Option<Timestamp>,
    /// Before this time.
    pub until: Option<Timestamp>,
    /// The newest first, else the oldest first.
    pub newest_first: bool,
    /// How many at most; 0 means as many as one query may give.
    pub limit: usize,
}

/// One trace in a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TraceSummary {
    /// The trace.
    pub trace: TraceId,
    /// The time of its first record.
    pub first: Timestamp,
    /// The time of its last record that opens, refuses or asks.
    pub last: Timestamp,
    /// The agent, if the records name one.
    pub agent: Option<String>,
    /// The action of its last record.
    pub action: Option<String>,
    /// The task, if there is one.
    pub task: Option<String>,
    /// The decision of its last record.
    pub decision: Option<String>,
    /// The code of its last record.
    pub code: Option<String>,
    /// How many entries it opened.
    pub opened: u64,
    /// How many requests were refused.
    pub refused: u64,
    /// How many of its entries have an outcome.
    pub closed: u64,
}

/// The records of one kind and one action of an agent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kept {
    /// Their kind, by its number.
    pub kind: u8,
    /// The action, if the records name one.
    pub action: Option<String>,
    /// How many there are.
    pub count: u64,
    /// The sequence of the first.
    pub first: u64,
    /// The sequence of the last.
    pub last: u64,
    /// The time of the earliest.
    pub since: Timestamp,
}

impl Index {
    /// What there is of an agent, counted by kind and action; outcomes belong to the entries that they close.
    pub fn kept_of(&self, agent: &str) -> Result<Vec<Kept>, StoreError> {
        let sql = format!(
            "SELECT kind, action, count(*), min(sequence), max(sequence), min(at) FROM records \
             WHERE agent = ?1 AND kind <> {} GROUP BY kind, action ORDER BY kind, action",
            RecordKind::Outcome.number()
        );
        let connection = self.lock();
        let mut select = connection.prepare_cached(&sql).during("searched (index)")?;
        let rows = select
            .query_map([agent], |row| {
                Ok(Kept {
                    kind: row.get(0)?,
                    action: row.get(1)?,
                    count: row.get::<_, i64>(2)?.unsigned_abs(),
                    first: row.get::<_, i64>(3)?.unsigned_abs(),
                    last: row.get::<_, i64>(4)?.unsigned_abs(),
                    since: Timestamp(row.get(5)?),
                })
            })
            .during("searched (index)")?;
        rows.collect::<Result<_, _>>().during("searched (index)")
    }

    /// The records that fit, opened as far as their keys are there.
    pub fn records(&self, filter: &Filter) -> Result<Vec<Record>, StoreError> {
        let sequences = self.sequences(filter)?;
        self.opener.read_all(&sequences)
    }

    /// The sequences of the records that fit.
    pub fn sequences(&self, filter: &Filter) -> Result<Vec<u64>, StoreError> {
        let (clauses, values) = clauses(filter);
        let order = if filter.newest_first { "DESC" } else { "ASC" };
        let limit = limit(filter);
        let sql = format!(
            "SELECT sequence FROM records WHERE {clauses} ORDER BY sequence {order} LIMIT {limit}"
        );
        let connection = self.lock();
        let mut select = connection.prepare_cached(&sql).during("searched (index)")?;
        let rows = select
            .query_map(params_from_iter(values), |row| row.get::<_, i64>(0))
            .during("searched (index)")?;
        let rows: Vec<i64> = rows.collect::<Result<_, _>>().during("searched (index)")?;
        Ok(rows.into_iter().filter_map(|sequence| u64::try_from(sequence).ok()).collect())
    }

    /// Traces with a record that fits, the newest first.
    pub fn traces(&self, filter: &Filter) -> Result<Vec<TraceSummary>, StoreError> {
        let (clauses, values) = clauses(filter);
        let limit = limit(filter);
        // SQLite takes the bare columns from the row that has the maximum.
        let sql = format!(
            "SELECT trace, min(at), max(at), agent, action, task, decision, code, max(sequence), \
                 sum(kind = {opened}), sum(kind = {refused}), \
                 sum(kind = {opened} AND EXISTS (SELECT 1 FROM records o WHERE o.closes = r.entry \
                     AND o.entry = r.entry)) \
             FROM records r WHERE kind <> {outcome} AND trace IN \
                 (SELECT trace FROM records WHERE kind <> {outcome} AND trace IS NOT NULL \
                     AND {clauses} GROUP BY trace ORDER BY max(sequence) DESC LIMIT {limit}) \
             GROUP BY trace ORDER BY max(sequence) DESC",
            opened = RecordKind::Opened.number(),
            refused = RecordKind::Refused.number(),
            outcome = RecordKind::Outcome.number(),
        );
        let connection = self.lock();
        let mut select = connection.prepare_cached(&sql).during("searched (index)")?;
        let rows = select
            .query_map(params_from_iter(values), |row| {
                Ok(TraceSummary {
                    trace: TraceId(u128::from_be_bytes(row.get(0)?)),
                    first: Timestamp(row.get(1)?),
                    last: Timestamp(row.get(2)?),
                    agent: row.get(3)?,
                    action: row.get(4)?,
                    task: row.get(5)?,
                    decision: row.get(6)?,
                    code: row.get(7)?,
                    opened: row.get::<_, i64>(9)?.unsigned_abs(),
                    refused: row.get::<_, i64>(10)?.unsigned_abs(),
                    closed: row.get::<_, i64>(11)?.unsigned_abs(),
                })
            })
            .during("searched (index)")?;
        rows.collect::<Result<_, _>>().during("searched (index)")
    }

    /// The last refusal, of one agent or of any.
    pub fn last_refusal(&self, agent: Option<&str>) -> Result<Option<Record>, StoreError> {
        let filter = Filter {
            agent: agent.map(str::to_owned),
            kind: Some(RecordKind::Refused),
            newest_first: true,
            limit: 1,
            ..Filter::default()
        };
        Ok(self.records(&filter)?.pop())
    }
}

fn limit(filter: &Filter) -> usize {
    match filter.limit {
        0 => QUERY_RECORDS,
        some => some.min(QUERY_RECORDS),
    }
}

/// The conditions of a filter, with their values in order.
fn clauses(filter: &Filter) -> (String, Vec<Box<dyn ToSql>>) {
    let mut clauses = vec!["TRUE".to_owned()];
    let mut values: Vec<Box<dyn ToSql>> = Vec::new();
    let mut add = |clause: &str, value: Box<dyn ToSql>| {
        values.push(value);
        clauses.push(clause.replace('?', &format!("?{}", values.len())));
    };
    if let Some(trace) = filter.trace {
        let of_trace = "(sequence IN (SELECT sequence FROM records WHERE trace = ? AND kind <> 2) OR \
             entry IN (SELECT entry FROM records WHERE trace = ? AND kind <> 2 AND entry IS NOT NULL))";
        add(of_trace, Box::new(trace.0.to_be_bytes()));
    }
    if let Some(entry) = filter.entry {
        add("entry = ?", Box::new(entry.to_bytes()));
    }
    if let Some(agent) = &filter.agent {
        add("agent = ?", Box::new(agent.clone()));
    }
    if let Some(kind) = filter.kind {
        // The second half tells SQLite that the partial indices hold all that is asked for.
        let whole = if kind == RecordKind::Outcome { "kind = ?" } else { "kind = ? AND kind <> 2" };
        add(whole, Box::new(kind.number()));
    }
    let texts = [
        ("action = ?", &filter.action),
        ("decision = ?", &filter.decision),
        ("code = ?", &filter.code),
        ("task = ?", &filter.task),
    ];
    for (clause, value) in texts {
        if let Some(value) = value {
            add(clause, Box::new(value.clone()));
        }
    }
    if let Some(after) = filter.after {
        add("sequence > ?", Box::new(i64::try_from(after).unwrap_or(i64::MAX)));
    }
    if let Some(since) = filter.since {
        add("at >= ?", Box::new(since.0));
    }
    if let Some(until) = filter.until {
        add("at < ?", Box::new(until.0));
    }
    (clauses.join(" AND "), values)
}
