//! A terminal (pseudo-terminal) that a test reads and types on, as a person would.

use anyhow::{Context as _, Result, bail};
use rustix::{
    fs::{Mode, OFlags},
    pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt},
};
use std::{
    fs::File,
    io::{Read as _, Write as _},
    os::fd::OwnedFd,
    process::Stdio,
    sync::{Arc, Condvar, Mutex, PoisonError},
    time::{Duration, Instant},
};

/// What was shown so far, and a signal for more.
type Screen = Arc<(Mutex<String>, Condvar)>;

/// The test's end of the terminal.
pub struct Terminal {
    master: File,
    screen: Screen,
}

impl Terminal {
    /// Opens a terminal; the other end is for a child's standard streams.
    pub fn open() -> Result<(Terminal, File)> {
        let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).context("no terminal")?;
        grantpt(&master)?;
        unlockpt(&master)?;
        let name = ptsname(&master, Vec::new())?;
        let slave: OwnedFd = rustix::fs::open(&name, OFlags::RDWR | OFlags::NOCTTY, Mode::empty())?;
        let master = File::from(master);
        let screen = Screen::default();
        follow(master.try_clone()?, Arc::clone(&screen));
        Ok((Terminal { master, screen }, File::from(slave)))
    }

    /// The child's three standard streams on the terminal.
    pub fn streams(slave: &File) -> Result<[Stdio; 3]> {
        Ok([slave.try_clone()?.into(), slave.try_clone()?.into(), slave.try_clone()?.into()])
    }

    /// Types a line.
    pub fn enter(&mut self, line: &str) -> Result<()> {
        self.master.write_all(format!("{line}\n").as_bytes()).context("the terminal is closed")
    }

    /// All that was shown so far.
    #[must_use]
    pub fn shown(&self) -> String {
        self.screen.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Waits until `wanted` is shown after the first `from` bytes, and returns where it ends.
    pub fn wait_for(&self, wanted: &str, from: usize, limit: Duration) -> Result<usize> {
        let end = Instant::now() + limit;
        let (screen, more) = &*self.screen;
        let mut shown = screen.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            if let Some(at) = shown.get(from..).and_then(|rest| rest.find(wanted)) {
                return Ok(from.saturating_add(at).saturating_add(wanted.len()));
            }
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                bail!("`{wanted}` was not shown within {limit:?}; the terminal shows:\n{shown}");
            }
            shown = more.wait_timeout(shown, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}

fn follow(mut master: File, screen: Screen) {
    std::thread::spawn(move || {
        let mut bytes = [0; 4096];
        // The read fails once the last process on the other end has gone.
        while let Ok(count) = master.read(&mut bytes) {
            let text = String::from_utf8_lossy(bytes.get(..count).unwrap_or_default()).into_owned();
            screen.0.lock().unwrap_or_else(PoisonError::into_inner).push_str(&text);
            screen.1.notify_all();
            if count == 0 {
                return;
            }
        }
    });
}
