//! One session with the server, driven on whichever thread waits for it.

use super::{address::Database, migrations};
use crate::{
    error::StoreError,
    limits::{SERVER_ANSWER, WRITER_LOCK_PACE, WRITER_LOCK_TRIES},
};
use std::{
    collections::BTreeMap,
    future::Future,
    sync::{Arc, Mutex, PoisonError},
    thread,
};
use tokio::runtime::{Builder, Handle, Runtime};
use tokio_postgres::{
    Client, Error, NoTls, Row, Statement,
    error::{DbError, Severity},
    types::ToSql,
};

/// The oldest server that is known to work.
const OLDEST: i32 = 140_000;
/// The number of the advisory lock that the one writer of a database holds: `ambit` in ASCII.
const WRITER_LOCK: i64 = 0x61_6d_62_69_74;

/// Settings of the server or the role that would end or slow a session. Functions of other schemas are not found.
const SESSION: &str = "
    SET search_path = ambit, pg_temp;
    SET default_transaction_isolation = 'read committed';
    SET statement_timeout = 0;
    SET lock_timeout = 0;
    SET idle_session_timeout = 0;
    SET plan_cache_mode = force_generic_plan;
    SET client_min_messages = error;";

/// What a session is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Access {
    /// It writes batches, and keeps every other writer out for as long as it lives.
    OnlyWriter,
    /// It writes beside the writer.
    Write,
    /// It cannot write.
    Read,
}

/// A session. It is driven only while something is waited for.
pub(super) struct Line {
    client: Client,
    /// Why the session ended, in the server's words if it sent any.
    ended: Arc<Mutex<Option<String>>>,
    statements: Mutex<BTreeMap<String, Statement>>,
    /// Always there but in `drop`.
    runtime: Option<Runtime>,
    database: Database,
}

impl Line {
    pub(super) fn open(database: &Database, access: Access) -> Result<Line, StoreError> {
        let runtime = Builder::new_current_thread().enable_io().enable_time().build();
        let runtime = runtime.map_err(StoreError::Thread)?;
        let config = database.config()?;
        let failed = |source| server(database, "reached", Box::new(source));
        let (client, connection) = drive(&runtime, config.connect(NoTls)).map_err(failed)?;
        let ended = Arc::new(Mutex::new(None));
        let reason = Arc::clone(&ended);
        runtime.spawn(async move {
            let why = match connection.await {
                Ok(()) => "the session was closed".to_owned(),
                Err(error) => told(&error),
            };
            *reason.lock().unwrap_or_else(PoisonError::into_inner) = Some(why);
        });
        let line = Line {
            client,
            ended,
            statements: Mutex::default(),
            runtime: Some(runtime),
            database: database.clone(),
        };
        line.batch(SESSION)?;
        line.check_server(access)?;
        match access {
            Access::OnlyWriter => {
                line.keep_others_out()?;
                migrations::migrate(&line)?;
            }
            Access::Write => {}
            Access::Read => line.batch("SET default_transaction_read_only = on")?,
        }
        migrations::check(&line)?;
        Ok(line)
    }

    pub(super) const fn database(&self) -> &Database {
        &self.database
    }

    /// Runs statements without values, in one transaction unless they say otherwise.
    pub(super) fn batch(&self, sql: &str) -> Result<(), StoreError> {
        self.wait("used", self.client.batch_execute(sql))
    }

    /// Runs one statement in a transaction of its own.
    pub(super) fn execute(
        &self,
        sql: &str,
        values: &[&(dyn ToSql + Sync)],
    ) -> Result<(), StoreError> {
        self.wait("written", async {
            let statement = self.prepared(sql).await?;
            self.client.execute(&statement, values).await.map(drop)
        })
    }

    pub(super) fn query(
        &self,
        sql: &str,
        values: &[&(dyn ToSql + Sync)],
    ) -> Result<Vec<Row>, StoreError> {
        self.wait("read", async {
            let statement = self.prepared(sql).await?;
            self.client.query(&statement, values).await
        })
    }

    /// Whether the session has ended; looks first at what the server has sent meanwhile.
    pub(super) fn is_closed(&self) -> bool {
        if let Some(runtime) = &self.runtime {
            // The session's task runs at the first turn after the one that finds bytes on its socket.
            drive(runtime, async {
                for _ in 0..3 {
                    tokio::task::yield_now().await;
                }
            });
        }
        self.client.is_closed() || self.why().is_some()
    }

    /// The error of a session that has ended.
    pub(super) fn broken(&self, what: &'static str) -> StoreError {
        server(&self.database, what, self.why().unwrap_or_default().into())
    }

    fn why(&self) -> Option<String> {
        self.ended.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    async fn prepared(&self, sql: &str) -> Result<Statement, Error> {
        let known = |line: &Line| {
            let statements = line.statements.lock().unwrap_or_else(PoisonError::into_inner);
            statements.get(sql).cloned()
        };
        if let Some(statement) = known(self) {
            return Ok(statement);
        }
        let statement = self.client.prepare(sql).await?;
        let mut statements = self.statements.lock().unwrap_or_else(PoisonError::into_inner);
        statements.insert(sql.to_owned(), statement.clone());
        Ok(statement)
    }

    fn wait<T: Send>(
        &self,
        what: &'static str,
        work: impl Future<Output = Result<T, Error>> + Send,
    ) -> Result<T, StoreError> {
        let Some(runtime) = &self.runtime else { return Err(self.broken(what)) };
        let waited = drive(runtime, async { tokio::time::timeout(SERVER_ANSWER, work).await });
        match waited {
            Ok(Ok(value)) => Ok(value),
            Ok(Err(error)) if error.is_closed() => Err(self.broken(what)),
            Ok(Err(error)) if ends_session(&error) => {
                self.ended.lock().unwrap_or_else(PoisonError::into_inner).replace(told(&error));
                Err(self.broken(what))
            }
            Ok(Err(error)) => Err(server(&self.database, what, Box::new(error))),
            Err(_elapsed) => {
                let why = format!("no answer within {} s", SERVER_ANSWER.as_secs());
                Err(server(&self.database, what, why.into()))
            }
        }
    }

    /// Refuses a server that would call something durable that is not, and holds on to the setting that says so.
    fn check_server(&self, access: Access) -> Result<(), StoreError> {
        let unfit =
            |found: String| StoreError::Unfit { database: self.database.to_string(), found };
        let sql = "SELECT current_setting('server_version_num')::int, current_setting('fsync'), \
                   current_setting('full_page_writes'), current_setting('synchronous_commit'), \
                   current_setting('server_encoding')";
        let rows = self.query(sql, &[])?;
        let row = rows.first().ok_or_else(|| unfit("it does not tell its settings".into()))?;
        let version: i32 = row.try_get(0).unwrap_or(0);
        let setting = |column: usize| row.try_get::<_, &str>(column).unwrap_or_default();
        if version < OLDEST {
            return Err(unfit(format!("its version is {version}; 14 is the oldest that is known")));
        }
        if setting(4) != "UTF8" {
            return Err(unfit(format!(
                "its encoding is {}; make it with `ENCODING UTF8`",
                setting(4)
            )));
        }
        if access == Access::Read {
            return Ok(());
        }
        // A mutation for tests: without the sync a batch is called durable while it is not.
        if cfg!(feature = "mutation-no-sync") {
            return self.batch("SET synchronous_commit = off");
        }
        for (column, name) in [(1, "fsync"), (2, "full_page_writes")] {
            if setting(column) != "on" {
                return Err(loses(&unfit, name, setting(column)));
            }
        }
        match setting(3) {
            // Set for this session, so that a change on the server does not reach it.
            "on" => self.batch("SET synchronous_commit = on"),
            "remote_apply" => self.batch("SET synchronous_commit = remote_apply"),
            other => Err(loses(&unfit, "synchronous_commit", other)),
        }
    }

    /// Takes the lock that lives as long as this session. One that just lost its process may hold it for a moment.
    fn keep_others_out(&self) -> Result<(), StoreError> {
        for _ in 0..WRITER_LOCK_TRIES {
            let rows = self.query("SELECT pg_try_advisory_lock($1)", &[&WRITER_LOCK])?;
            if rows.first().is_some_and(|row| row.try_get(0).unwrap_or(false)) {
                return Ok(());
            }
            thread::sleep(WRITER_LOCK_PACE);
        }
        Err(StoreError::Taken(self.database.to_string()))
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            // Nothing blocks in it, and an ordinary drop may not happen inside another runtime.
            runtime.shutdown_background();
        }
    }
}

/// Waits on this thread. Inside another runtime, which does not allow that, a thread of its own waits.
fn drive<T: Send>(runtime: &Runtime, work: impl Future<Output = T> + Send) -> T {
    if Handle::try_current().is_err() {
        return runtime.block_on(work);
    }
    thread::scope(|scope| {
        let waiting = scope.spawn(|| runtime.block_on(work)).join();
        waiting.unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}

fn loses(unfit: &dyn Fn(String) -> StoreError, name: &str, found: &str) -> StoreError {
    unfit(format!("`{name}` is `{found}`, so it may lose what it has acknowledged; set it to `on`"))
}

fn server(
    database: &Database,
    what: &'static str,
    source: Box<dyn std::error::Error + Send + Sync>,
) -> StoreError {
    StoreError::Server { database: database.to_string(), what, source }
}

/// Whether the server closes the session after this error, which may come before the connection's end is seen.
fn ends_session(error: &Error) -> bool {
    let severity = error.as_db_error().and_then(DbError::parsed_severity);
    matches!(severity, Some(Severity::Fatal | Severity::Panic))
}

/// An error with what the server said.
fn told(error: &Error) -> String {
    error.as_db_error().map_or_else(|| error.to_string(), ToString::to_string)
}
