//! Reads the declared state from disk: `ambit.yaml`, `policies/*.cedar`, `ambit.lock`, agents' public keys.

mod lock;
mod secrets;

pub(crate) use lock::{LOCK_FILE, write_lock};
pub(crate) use secrets::{check_secrets, in_vault};

use crate::{exit::Exit, limits};
use declared::{Diagnostic, Sources};
use model::declared::{Declared, PolicyFile};
use policy::{Compiled, Definitions};
use serde::{Deserialize, Serialize};
use std::{
    collections::BTreeMap,
    fmt,
    io::Read as _,
    path::{Path, PathBuf},
};

/// The name of the main file in a directory.
const MAIN: &str = "ambit.yaml";
/// The directory of policies beside the main file.
pub(crate) const POLICIES: &str = "policies";

/// The texts of the files of one declared state, as they are read, sent to a gate and kept by it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Files {
    /// The main file's path as the user knows it.
    pub(crate) path: String,
    /// The main file.
    pub(crate) main: String,
    /// `policies/NAME.cedar` and its text.
    pub(crate) policies: BTreeMap<String, String>,
    /// Public keys of agents (JWK sets), by the path that `credentials.keys` states.
    pub(crate) keys: BTreeMap<String, String>,
    /// Manifests of agents, by the path that `manifest` states.
    #[serde(default)]
    pub(crate) manifests: BTreeMap<String, String>,
}

/// A declared state that was read without a problem of form.
pub(crate) struct Loaded {
    /// What it says.
    pub(crate) declared: Declared,
    /// Its texts for showing places, without secrets.
    pub(crate) sources: Sources,
    /// Its texts.
    pub(crate) files: Files,
    /// The pinned definitions of `ambit.lock` beside it; empty without one.
    pub(crate) definitions: Definitions,
}

/// Why a declared state cannot be used.
#[derive(Debug)]
pub(crate) enum ConfigError {
    /// A file cannot be read.
    File { path: PathBuf, why: String },
    /// The files are wrong: every problem, with its place.
    Invalid { diagnostics: Vec<Diagnostic>, sources: Box<Sources> },
}

impl std::error::Error for ConfigError {}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ConfigError::File { path, why } => {
                write!(f, "`{}` cannot be read: {why}", path.display())
            }
            ConfigError::Invalid { .. } => f.write_str(&self.rendered(false)),
        }
    }
}

impl ConfigError {
    /// The problems as people read them.
    pub(crate) fn rendered(&self, colour: bool) -> String {
        match self {
            ConfigError::File { .. } => self.to_string(),
            ConfigError::Invalid { diagnostics, sources } => {
                let text = declared::render(diagnostics, sources, colour);
                let count = diagnostics.len();
                format!("{text}{count} problem{}", if count == 1 { "" } else { "s" })
            }
        }
    }

    /// Each problem as a row.
    pub(crate) fn rows(&self) -> serde_json::Value {
        match self {
            ConfigError::File { path, why } => {
                serde_json::json!([{ "file": path.display().to_string(), "message": why }])
            }
            ConfigError::Invalid { diagnostics, .. } => diagnostics
                .iter()
                .map(|d| {
                    serde_json::json!({
                        "file": d.file, "line": d.line, "column": d.column, "length": d.length,
                        "message": d.message, "fix": d.fix,
                    })
                })
                .collect(),
        }
    }

    /// The code that a command ends with.
    pub(crate) const fn exit(&self) -> Exit {
        Exit::Usage
    }
}

/// The main file of a path: itself, or `ambit.yaml` in a directory.
pub(crate) fn main_file(path: &Path) -> PathBuf {
    if path.is_dir() { path.join(MAIN) } else { path.to_owned() }
}

/// Reads a main file, or `ambit.yaml` in a directory, with everything beside it.
pub(crate) fn load(path: &Path) -> Result<Loaded, ConfigError> {
    let main = main_file(path);
    let directory = match main.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent.to_owned(),
        _ => PathBuf::from("."),
    };
    let mut files = Files {
        path: main.display().to_string(),
        main: text(&main)?,
        policies: policies(&directory)?,
        ..Files::default()
    };
    let (mut declared, sources) = read(&files)?;
    for agent in declared.agents.values() {
        if let Some(path) = &agent.governance.manifest {
            files.manifests.insert(path.clone(), text(&directory.join(path))?);
        }
    }
    let of_agents = declared.agents.values().filter_map(|agent| agent.credentials.keys.as_ref());
    let of_clients = declared.clients.values().filter_map(|client| client.keys.as_ref());
    for keys in of_agents.chain(of_clients) {
        files.keys.insert(keys.clone(), text(&directory.join(keys))?);
    }
    with_parts(&mut declared, &files.manifests)?;
    let definitions = lock::read(&directory)?;
    Ok(Loaded { declared, sources, files, definitions })
}

/// The same from texts that came over the control socket.
pub(crate) fn from_files(files: Files) -> Result<Loaded, ConfigError> {
    let (mut declared, sources) = read(&files)?;
    with_parts(&mut declared, &files.manifests)?;
    Ok(Loaded { declared, sources, files, definitions: Definitions::new() })
}

/// Reads the manifests that agents name, and gives each agent its own.
pub(crate) fn with_parts(
    declared: &mut Declared,
    manifests: &BTreeMap<String, String>,
) -> Result<(), ConfigError> {
    for agent in declared.agents.values_mut() {
        let Some(path) = agent.governance.manifest.clone() else { continue };
        let text = manifests.get(&path).ok_or_else(|| ConfigError::File {
            path: PathBuf::from(&path),
            why: "it was not sent along".to_owned(),
        })?;
        let parts =
            declared::read_manifest(&path, text).map_err(|rejected| ConfigError::Invalid {
                diagnostics: rejected.diagnostics,
                sources: Box::new(rejected.sources),
            })?;
        agent.governance.parts = Some(std::sync::Arc::new(parts));
    }
    Ok(())
}

fn read(files: &Files) -> Result<(Declared, Sources), ConfigError> {
    let policies = files
        .policies
        .iter()
        .map(|(path, text)| PolicyFile { path: path.clone(), text: text.clone() });
    declared::read(&files.path, &files.main, policies.collect()).map_err(|rejected| {
        ConfigError::Invalid {
            diagnostics: rejected.diagnostics,
            sources: Box::new(rejected.sources),
        }
    })
}

/// `mode: observe` ends within a month. One that has ended is no mistake: its agent is enforced.
pub(crate) fn check_observation(loaded: &Loaded, now: model::Timestamp) -> Result<(), ConfigError> {
    let latest = now.after(limits::OBSERVE_MAX);
    let late = |agent: &&model::declared::Agent| agent.observe_until.is_some_and(|at| at > latest);
    let problems: Vec<Diagnostic> = loaded
        .declared
        .agents
        .values()
        .filter(late)
        .map(|agent| {
            let message = "`observe_until` is more than 30 days ahead".to_owned();
            let day: String = latest.to_string().chars().take(10).collect();
            loaded.sources.in_declared(agent.line, message, format!("write `{day}` or earlier"))
        })
        .collect();
    if problems.is_empty() { Ok(()) } else { Err(loaded.invalid(problems)) }
}

impl Loaded {
    /// Compiles it with the definitions beside it.
    pub(crate) fn compile(&self) -> Result<Compiled, ConfigError> {
        self.compile_with(&self.definitions)
    }

    /// Compiles it with these definitions.
    pub(crate) fn compile_with(&self, definitions: &Definitions) -> Result<Compiled, ConfigError> {
        let compiled = crate::app::blocking(|| policy::compile(&self.declared, definitions));
        compiled.map_err(|problems| {
            let diagnostics =
                problems.into_iter().map(|problem| self.diagnostic(problem)).collect();
            self.invalid(diagnostics)
        })
    }

    /// Problems of this state, to be shown with its texts.
    pub(crate) fn invalid(&self, diagnostics: Vec<Diagnostic>) -> ConfigError {
        ConfigError::Invalid { diagnostics, sources: Box::new(self.sources.clone()) }
    }

    fn diagnostic(&self, problem: policy::Problem) -> Diagnostic {
        let policy::Problem { place, message, fix } = problem;
        match place {
            policy::Place::Declared { line } => self.sources.in_declared(line, message, fix),
            policy::Place::Policy { path, line, column, length } => {
                self.sources.in_policy(&path, (line, column, length), message, fix)
            }
        }
    }
}

fn policies(directory: &Path) -> Result<BTreeMap<String, String>, ConfigError> {
    let place = directory.join(POLICIES);
    if !place.exists() {
        return Ok(BTreeMap::new());
    }
    let failed =
        |error: std::io::Error| ConfigError::File { path: place.clone(), why: error.to_string() };
    let mut found = BTreeMap::new();
    for entry in std::fs::read_dir(&place).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        let name = path.file_name().and_then(|name| name.to_str());
        let Some(name) = name.filter(|name| name.ends_with(".cedar")) else { continue };
        if found.len() == limits::POLICY_FILES {
            let why = format!("it holds more than {} policies", limits::POLICY_FILES);
            return Err(ConfigError::File { path: place.clone(), why });
        }
        found.insert(format!("{POLICIES}/{name}"), text(&path)?);
    }
    Ok(found)
}

/// A file as text, if it is not larger than a declared file may be.
fn text(path: &Path) -> Result<String, ConfigError> {
    let failed = |why: String| ConfigError::File { path: path.to_owned(), why };
    let file = std::fs::File::open(path).map_err(|error| failed(error.to_string()))?;
    let mut text = String::new();
    let read = file.take(limits::DECLARED_FILE_BYTES + 1).read_to_string(&mut text);
    let length = read.map_err(|error| failed(error.to_string()))?;
    if u64::try_from(length).unwrap_or(u64::MAX) > limits::DECLARED_FILE_BYTES {
        return Err(failed(format!("it is larger than {} bytes", limits::DECLARED_FILE_BYTES)));
    }
    Ok(text)
}
