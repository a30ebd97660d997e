//! What follows a change of the configuration: sockets, limits of the process, the file.
//!
//! Handlers run on workers. A change of `port` or `bind` stops the old listeners before it opens the new ones (the
//! addresses may overlap), wherever those who accept on them live.

use crate::acl::file;
use crate::acl::user::DEFAULT;
use crate::base::bytes;
use crate::client::Marks;
use crate::config::choices::OomScoreAdj;
use crate::config::live::Apply;
use crate::config::rewrite::{self, Extra};
use crate::config::{Config, Hook};
use crate::engine::Engine;
use crate::server::listening::Listening;
use crate::server::{start, users};
use std::io;
use std::sync::{Arc, Mutex, PoisonError, Weak};

/// Acts on changes for a running server.
pub struct Settings {
    engine: Weak<Engine>,
    listening: Arc<parking_lot::Mutex<Listening>>,
    oom: OomScore,
}

impl Settings {
    /// For this engine and its listeners. Brings the kernel's score up to date.
    pub(super) fn new(engine: &Arc<Engine>, listening: Arc<parking_lot::Mutex<Listening>>) -> Settings {
        let settings = Settings { engine: Arc::downgrade(engine), listening, oom: OomScore::default() };
        if let Err(error) = settings.oom.apply(&engine.node.config) {
            tracing::warn!("Unable to write oom_score_adj: {}", start::reason(&error));
        }
        settings
    }

    /// Listens where the configuration says now.
    fn listen(&self) -> Result<(), String> {
        self.listening.lock().renew()
    }

    /// The password of the user `default`. Sessions that wait for one are to look whether they still need to.
    fn set_password(&self, config: &Config) {
        let Some(engine) = self.engine.upgrade() else { return };
        engine.node.acl.require_password(&config.requirepass.get());
        for client in engine.node.clients.those(|client| client.labels.read().user == DEFAULT) {
            client.marks.set(Marks::USER_CHANGED, true);
        }
    }

    fn warn_if_over(&self, config: &Config) {
        let (limit, used) = (config.maxmemory.size(), crate::base::alloc::used_memory() as u64);
        if limit != 0 && limit < used {
            tracing::warn!(
                "WARNING: the new maxmemory value set via CONFIG SET ({limit}) is smaller than the current memory usage ({used}). This will result in key eviction and/or the inability to accept new write commands depending on the maxmemory-policy."
            );
        }
    }
}

impl Apply for Settings {
    fn apply(&self, hook: Hook, config: &Config) -> Result<(), String> {
        let result = match hook {
            Hook::None => Ok(()),
            Hook::Port => self.listen().map_err(|why| {
                tracing::warn!("{why}");
                "Unable to listen on this port. Check server logs.".into()
            }),
            Hook::Bind => self.listen().map_err(|why| {
                tracing::warn!("{why}");
                "Failed to bind to specified addresses.".into()
            }),
            Hook::Maxclients => start::raise_maxclients(config),
            Hook::Maxmemory => {
                self.warn_if_over(config);
                Ok(())
            }
            Hook::Requirepass => {
                self.set_password(config);
                Ok(())
            }
            Hook::Dir => start::enter(&config.dir.get()).map(|full| config.dir.store(&full)),
            Hook::ProcTitle => {
                start::show_title(config);
                Ok(())
            }
            Hook::OomScore => self.oom.apply(config).map_err(|error| {
                tracing::warn!("Unable to write oom_score_adj: {}", start::reason(&error));
                "Failed to set current oom_score_adj. Check server logs.".into()
            }),
        };
        if matches!(hook, Hook::Port | Hook::Bind) {
            start::show_title(config);
        }
        result
    }

    fn adopt(&self, _: &Config, warnings: &[&'static str]) {
        warnings.iter().for_each(|warning| tracing::warn!("WARNING: {warning}"));
        if let Some(engine) = self.engine.upgrade() {
            engine.adopt_config();
        }
    }

    fn rewrite(&self, config: &Config, all: bool) -> Result<(), String> {
        let Some(path) = config.origin.file.get() else {
            return Err("The server is running without a config file".into());
        };
        let old = match std::fs::read(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
            other => other,
        };
        let users = self
            .engine
            .upgrade()
            .filter(|_| config.aclfile.get().is_empty())
            .map(|engine| engine.node.acl.all().iter().map(|user| file::config_line(user)).collect());
        let text = old.map(|old| rewrite::rewritten(&old, config, &Extra { users, all }));
        match text.and_then(|text| rewrite::write(path, &text)) {
            Ok(()) => {
                tracing::info!("CONFIG REWRITE executed with success.");
                Ok(())
            }
            Err(error) => {
                let why = start::reason(&error);
                tracing::warn!("CONFIG REWRITE failed: {why}");
                Err(format!("Rewriting config file: {why}"))
            }
        }
    }

    fn read_users(&self, config: &Config) -> Result<Vec<u8>, String> {
        users::read(config)
    }

    fn write_users(&self, config: &Config, text: &[u8]) -> Result<(), String> {
        users::write(config, text)
    }
}

/// `/proc/self/oom_score_adj`: what it was before we touched it.
#[derive(Default)]
struct OomScore(Mutex<Option<i32>>);

impl OomScore {
    const PATH: &str = "/proc/self/oom_score_adj";

    fn apply(&self, config: &Config) -> io::Result<()> {
        let mut before = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let kind = config.oom_score_adj.get();
        if kind == OomScoreAdj::No && before.is_none() {
            return Ok(());
        }
        let base = match *before {
            Some(base) => base,
            None => *before.insert(Self::read()?),
        };
        if config.oom_score_adj_values.needs_privileges() {
            tracing::warn!(
                "The oom-score-adj-values configuration may not work for non-privileged processes! Please consult the documentation."
            );
        }
        let [primary, _, _] = config.oom_score_adj_values.get();
        let score = match kind {
            OomScoreAdj::No => base,
            OomScoreAdj::Relative => base + primary,
            OomScoreAdj::Absolute => primary,
        };
        const SCORE_MAX: i32 = 1000;
        std::fs::write(Self::PATH, score.clamp(-SCORE_MAX, SCORE_MAX).to_string())?;
        if kind == OomScoreAdj::No {
            *before = None;
        }
        Ok(())
    }

    fn read() -> io::Result<i32> {
        let text = std::fs::read(Self::PATH)?;
        let number = bytes::to_text(&text).trim().parse();
        number.map_err(|_| io::Error::from(io::ErrorKind::InvalidData))
    }
}
