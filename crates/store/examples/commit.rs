//! Measures the durable ledger at 1, 32 and 128 callers beside a bare pwrite and fdatasync group commit of the same
//! bytes: `cargo run --release -p store --example commit [RECORDS]`.
#![expect(clippy::print_stdout, reason = "a table is what this program is for")]

use ledger::{Entropy, Stamp};
use model::{
    Digest, EntryId, Timestamp,
    record::{Condition, KeyScope, Parts, RecordKind, Recordable},
};
use std::{
    collections::BTreeMap,
    error::Error,
    fs::{self, File, OpenOptions},
    os::unix::fs::FileExt as _,
    sync::{Arc, Condvar, Mutex, PoisonError},
    thread,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};
use store::{Options, Store};

struct Chance;

impl Entropy for Chance {
    fn fill(&self, out: &mut [u8]) {
        if aws_lc_rs::rand::fill(out).is_err() {
            std::process::abort();
        }
    }
}

/// Half open entries with conditions, half outcomes: about what a call writes.
struct Sample {
    number: u64,
    opens: bool,
    now: Timestamp,
}

impl Recordable for Sample {
    fn kind(&self) -> RecordKind {
        if self.opens { RecordKind::Opened } else { RecordKind::Outcome }
    }
    fn scope(&self) -> KeyScope {
        KeyScope { tenant: String::new(), human: "ana".into() }
    }
    fn parts(&self) -> Parts {
        let entry = EntryId(self.number.into());
        let envelope = if self.opens {
            format!(
                "{{\"action\":\"tickets.read\",\"agent\":\"helpdesk\",\"boundary\":\"support\",\"catalog\":\"{0}\",\
                 \"control_revision\":7,\"decision\":\"allow\",\"effect\":\"read\",\"entry\":\"{entry}\",\
                 \"policies\":\"{0}\",\"trace\":\"{1:032x}\",\"upstream\":\"tickets\",\"v\":1,\"version\":\"{0}\"}}",
                Digest([7; 32]),
                self.number + 1,
            )
        } else {
            format!(
                "{{\"duration_us\":812,\"ending\":\"done\",\"entry\":\"{entry}\",\"status\":200,\"v\":1}}"
            )
        };
        Parts {
            envelope: envelope.into_bytes(),
            subject: b"{\"groups\":[\"it\"],\"user\":\"ana\"}".to_vec(),
            arguments: b"{\"arguments\":{\"id\":4711},\"digest\":\"9f2c41d07a3b\"}".to_vec(),
            result: Vec::new(),
        }
    }
    fn conditions(&self) -> Vec<Condition> {
        let entry = EntryId(self.number.into());
        if !self.opens {
            return vec![Condition::Closes(entry)];
        }
        let mut what = [0; 32];
        what.iter_mut().zip(self.number.to_be_bytes()).for_each(|(slot, byte)| *slot = byte);
        vec![
            Condition::Opens(entry),
            Condition::NotRevokedSince { subjects: vec![Digest([1; 32]); 6], decided_at: 0 },
            Condition::Unused { what: Digest(what), until: Timestamp(self.now.0 + 120_000_000) },
        ]
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let records: u64 = std::env::args().nth(1).map_or(Ok(60_000), |text| text.parse())?;
    println!(
        "callers  what     records/s   p50 ms   p99 ms  µs CPU per record (callers + writer + index + keeper)"
    );
    for callers in [1_u64, 32, 128] {
        let count = if callers == 1 { records / 40 } else { records };
        let folder = tempfile::Builder::new().prefix("ambit-commit").tempdir_in(".")?;
        let (ours, bytes) = governed(folder.path(), callers, count)?;
        println!("{callers:>7}  ledger   {ours}");
        let bare = bare(folder.path(), callers, count, bytes)?;
        println!("{callers:>7}  bare     {bare}   ({bytes} bytes per record)");
    }
    Ok(())
}

/// Runs the callers in a closed loop; gives the table's cells.
fn measure(
    callers: u64,
    count: u64,
    call: impl Fn(u64) -> Result<(), String> + Sync,
    settle: impl FnOnce(),
) -> Result<String, Box<dyn Error>> {
    // Even, so that each caller closes what it opened.
    let each = count / callers / 2 * 2;
    let before = cpu()?;
    let start = Instant::now();
    let mut latencies: Vec<Duration> = Vec::new();
    thread::scope(|scope| -> Result<(), String> {
        let call = &call;
        let threads: Vec<_> = (0..callers)
            .map(|caller| {
                thread::Builder::new().name("caller".into()).spawn_scoped(scope, move || {
                    let mut latencies = Vec::new();
                    for number in 0..each {
                        let begin = Instant::now();
                        call(caller * each + number)?;
                        latencies.push(begin.elapsed());
                    }
                    Ok::<_, String>((latencies, own_cpu().unwrap_or(0)))
                })
            })
            .collect();
        let mut spent = 0;
        for thread in threads {
            let joined = thread.map_err(|error| error.to_string())?.join();
            let (some, nanos) = joined.map_err(|_| "a caller panicked".to_owned())??;
            latencies.extend(some);
            spent += nanos;
        }
        CALLERS.lock().unwrap_or_else(PoisonError::into_inner).push(spent);
        Ok(())
    })?;
    let took = start.elapsed();
    settle();
    let after = cpu()?;
    latencies.sort();
    let done = latencies.len().max(1);
    let at = |percent: usize| {
        latencies.get(done * percent / 100).map_or(0.0, |one| one.as_secs_f64() * 1e3)
    };
    let per = |nanos: u64| nanos as f64 / 1e3 / done as f64;
    let of = |name: &str| {
        let one = |all: &BTreeMap<String, u64>| all.get(name).copied().unwrap_or(0);
        per(one(&after).saturating_sub(one(&before)))
    };
    let callers = per(CALLERS.lock().unwrap_or_else(PoisonError::into_inner).pop().unwrap_or(0));
    let (writer, index, keeper) = (of("ledger-writer"), of("ledger-index"), of("ledger-keeper"));
    Ok(format!(
        "{:>9.0} {:>8.2} {:>8.2}  {:>6.1} = {callers:.1} + {writer:.1} + {index:.1} + {keeper:.1}",
        done as f64 / took.as_secs_f64(),
        at(50),
        at(99),
        callers + writer + index + keeper,
    ))
}

static CALLERS: Mutex<Vec<u64>> = Mutex::new(Vec::new());

fn governed(
    folder: &std::path::Path,
    callers: u64,
    count: u64,
) -> Result<(String, u64), Box<dyn Error>> {
    let path = folder.join("data");
    let store = Store::open(&path, Options::default(), now(), Arc::new(Chance))?;
    let cells = measure(
        callers,
        count,
        |number| {
            let sample = Sample { number: number / 2, opens: number % 2 == 0, now: now() };
            let mut seed = [0; 32];
            Chance.fill(&mut seed);
            let pending = store.journal().append(sample, Stamp { now: now(), seed });
            let written = pending.map_err(|refused| refused.error.to_string())?.wait_blocking();
            written.map(drop).map_err(|refused| refused.error.to_string())
        },
        || {
            store.index().caught_up(store.size().saturating_sub(1), Duration::from_secs(60));
        },
    )?;
    let size = store.size().max(1);
    drop(store);
    let bytes = rusqlite::Connection::open(path.join("ambit.db"))?.query_row(
        "SELECT sum(length(leaves) + length(hashes) + length(sealed) + length(effects) + length(frontier)) FROM batches",
        (),
        |row| row.get::<_, i64>(0),
    )?;
    Ok((cells, bytes.unsigned_abs() / size))
}

/// The same bytes through one file, one thread, one fdatasync per group.
fn bare(
    folder: &std::path::Path,
    callers: u64,
    count: u64,
    bytes: u64,
) -> Result<String, Box<dyn Error>> {
    let file = OpenOptions::new().create_new(true).write(true).open(folder.join("bare"))?;
    let group = Arc::new(Group::default());
    let writer = {
        let group = group.clone();
        thread::Builder::new().name("ledger-writer".into()).spawn(move || group.write(&file))?
    };
    let record = vec![0x5a; usize::try_from(bytes)?];
    let cells = measure(callers, count, |_| group.append(&record), || ());
    {
        group.lock().ended = true;
        group.arrived.notify_one();
    }
    writer.join().map_err(|_| "the bare writer panicked")?.map_err(|error| error.to_string())?;
    cells
}

#[derive(Default)]
struct Group {
    waiting: Mutex<Waiting>,
    arrived: Condvar,
    written: Condvar,
}

#[derive(Default)]
struct Waiting {
    bytes: Vec<u8>,
    round: u64,
    done: u64,
    ended: bool,
}

impl Group {
    fn lock(&self) -> std::sync::MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn append(&self, record: &[u8]) -> Result<(), String> {
        let mut waiting = self.lock();
        waiting.bytes.extend_from_slice(record);
        let mine = waiting.round;
        self.arrived.notify_one();
        let done = self.written.wait_while(waiting, |it| it.done <= mine && !it.ended);
        drop(done.unwrap_or_else(PoisonError::into_inner));
        Ok(())
    }

    fn write(&self, file: &File) -> std::io::Result<()> {
        let mut offset = 0;
        loop {
            let waiting = self.lock();
            let mut waiting = self
                .arrived
                .wait_while(waiting, |it| it.bytes.is_empty() && !it.ended)
                .unwrap_or_else(PoisonError::into_inner);
            if waiting.bytes.is_empty() {
                return Ok(());
            }
            let bytes = std::mem::take(&mut waiting.bytes);
            waiting.round += 1;
            let round = waiting.round;
            drop(waiting);
            file.write_all_at(&bytes, offset)?;
            file.sync_data()?;
            offset += u64::try_from(bytes.len()).unwrap_or(0);
            self.lock().done = round;
            self.written.notify_all();
        }
    }
}

fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp(i64::try_from(since.as_micros()).unwrap_or(i64::MAX))
}

/// Nanoseconds on a processor of this thread.
fn own_cpu() -> Option<u64> {
    let text = fs::read_to_string("/proc/thread-self/schedstat").ok()?;
    text.split(' ').next()?.parse().ok()
}

/// Nanoseconds on a processor by the name of the thread.
fn cpu() -> Result<BTreeMap<String, u64>, Box<dyn Error>> {
    let mut all = BTreeMap::new();
    for task in fs::read_dir("/proc/self/task")? {
        let path = task?.path();
        let name = fs::read_to_string(path.join("comm"))?.trim().to_owned();
        let spent = fs::read_to_string(path.join("schedstat"))?;
        let nanos: u64 = spent.split(' ').next().unwrap_or("0").parse()?;
        *all.entry(name).or_insert(0) += nanos;
    }
    Ok(all)
}
