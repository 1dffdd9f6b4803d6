//! `upnext keys`: who may ask a service what.

use std::path::PathBuf;

use anyhow::Result;
use clap::{Args, Subcommand};
use serde_json::json;
use upnext_serve::{KeptKey, Role};

use crate::config::Config;
use crate::{WrongUse, output};

/// Arguments of `keys`.
#[derive(Args, Debug)]
#[command(
    after_help = "Example:\n  upnext keys new --role write --name app --file keys.toml\n  upnext keys list --file keys.toml\n  upnext keys revoke 4f6c1a2b9d3e5f70 --file keys.toml\nThe file is `keys_file` of [serve] in the configuration. A running service sees a change within a second."
)]
pub(crate) struct KeysArgs {
    #[command(subcommand)]
    act: Act,
    /// The file of keys; without it, `keys_file` of the configuration
    #[arg(long, value_name = "FILE", global = true)]
    file: Option<PathBuf>,
    /// The configuration
    #[arg(long, short, value_name = "FILE", global = true)]
    config: Option<PathBuf>,
    /// Say it as JSON
    #[arg(long, global = true)]
    json: bool,
}

#[derive(Subcommand, Debug)]
enum Act {
    /// Make a key; it is shown once, and its line is added to the file where one is named
    New {
        /// What it may do: read, write or admin; may stand more than once
        #[arg(long, required = true, value_name = "ROLE")]
        role: Vec<Role>,
        /// The only tenant that it opens; without it, all
        #[arg(long, value_name = "NAME")]
        tenant: Option<String>,
        /// What people call it
        #[arg(long, default_value = "", value_name = "NAME")]
        name: String,
    },
    /// Name the keys of the file
    List,
    /// Take a key out of the file
    Revoke {
        /// The id of the key: what stands first on its line
        id: String,
    },
}

impl KeysArgs {
    /// Runs the command.
    ///
    /// # Errors
    /// When the file cannot be read or written, or there is no such key.
    pub(crate) fn run(self) -> Result<()> {
        let configured = Config::read(self.config.as_deref())?.serve.keys_file;
        let file = self.file.or(Some(configured).filter(|file| !file.as_os_str().is_empty()));
        let needed = || {
            file.clone().ok_or_else(|| {
                WrongUse::of("--file", "expected the file of keys, or a --config that names one")
            })
        };
        match self.act {
            Act::New { role, tenant, name } => {
                let today = jiff::Timestamp::now().strftime("%Y-%m-%d").to_string();
                let made = KeptKey::make(&name, &role, tenant.as_deref(), &today)?;
                if let Some(file) = &file {
                    upnext_serve::add_key(file, &made)?;
                }
                if self.json {
                    let (key, id, line) = (made.key, made.id, made.line);
                    return output::print(
                        &json!({"key": key, "id": id, "line": line, "file": file}).to_string(),
                    );
                }
                let place = match &file {
                    Some(file) => format!("its line is in {}", file.display()),
                    None => "add this line to the file of keys".to_owned(),
                };
                output::print(&format!("the key, shown only now: {}\n{place}:\n{}", made.key, made.line))
            }
            Act::List => {
                let keys = upnext_serve::keys_in(&needed()?)?;
                if self.json {
                    let rows = keys.into_iter().map(|(id, key)| {
                        json!({"id": id, "name": key.name, "roles": key.roles, "tenant": key.tenant, "created": key.created})
                    });
                    return output::print(&json!({"keys": rows.collect::<Vec<_>>()}).to_string());
                }
                let row = |(id, key): (&String, &KeptKey)| {
                    let roles: Vec<&str> = key.roles.iter().map(|role| role.name()).collect();
                    let tenant = key.tenant.as_deref().unwrap_or("every tenant");
                    format!("{id}  {:<16}  {:<12}  {}  {}\n", roles.join(","), tenant, key.created, key.name)
                };
                let rows: String = keys.iter().map(row).collect();
                output::print(if rows.is_empty() { "no keys" } else { rows.trim_end() })
            }
            Act::Revoke { id } => {
                let file = needed()?;
                let gone = upnext_serve::revoke_key(&file, &id)?;
                if self.json {
                    return output::print(&json!({"revoked": id, "name": gone.name}).to_string());
                }
                output::print(&format!("{id} {} opens nothing any more", gone.name))
            }
        }
    }
}
