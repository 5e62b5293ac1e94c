//! `csm-bringup status`: what attach processes hold on this machine, and how their links are.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use clap::Args;
use serde_json::{Value, json};

use crate::failure::Done;
use crate::hold::control::{Request, ask};
use crate::hold::state::{self, Found};
use crate::run::Run;

/// Show what is attached
#[derive(Args)]
pub(crate) struct Status {
    /// Only this one: a name as listed, or a URI
    name: Option<String>,

    /// Ask the other end through the link: if that is dead, the access makes this host fence it
    #[arg(long)]
    link: bool,
}

/// How long a process may take to answer.
const ANSWER: Duration = Duration::from_secs(2);

impl Status {
    pub(crate) fn run(self, run: &Run) -> Done {
        let found = match &self.name {
            Some(name) => vec![state::find(run, &state::name_given(run, name)?)?],
            None => state::list(run),
        };
        let mut shown = Vec::new();
        for found in &found {
            shown.push((found, now(run, found, self.link)));
        }
        let attached: Vec<_> = shown.iter().map(|(found, now)| json(found, now)).collect();
        run.print(json!({ "attached": attached }), |out| {
            if shown.is_empty() {
                out.line("nothing is attached on this machine")?;
            }
            for (found, now) in &shown {
                out.line(format_args!("{}: {}", found.name, summary(found)))?;
                out.line(format_args!("  {}", found.uri()))?;
                let facts = found.json["device"].as_object().into_iter().chain(now.as_object()).flatten();
                for (key, value) in facts.filter(|(key, _)| *key != "ok") {
                    out.line(format_args!("  {key}: {}", crate::attach::text(value)))?;
                }
            }
            Ok(())
        })
    }
}

/// What the process says now; an error is part of the answer.
fn now(run: &Run, found: &Found, link: bool) -> Value {
    if !found.live || found.json["state"] != "attached" {
        return Value::Null;
    }
    ask(run, &found.socket(), Request::Status { link }, ANSWER)
        .unwrap_or_else(|failure| json!({ "error": failure.message() }))
}

fn since(found: &Found) -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    now.saturating_sub(found.json["since_unix_s"].as_u64().unwrap_or(now))
}

fn summary(found: &Found) -> String {
    let pid = &found.json["pid"];
    if !found.live {
        return format!(
            "process {pid} died; csm-bringup detach {} clears up, attach takes its place",
            found.name
        );
    }
    format!(
        "{} by process {pid} for {} s",
        found.json["state"].as_str().unwrap_or("being attached"),
        since(found)
    )
}

fn json(found: &Found, now: &Value) -> Value {
    let mut json = json!({ "name": found.name, "live": found.live });
    for part in [&found.json, &json!({ "now": now })] {
        if let (Some(json), Some(part)) = (json.as_object_mut(), part.as_object()) {
            json.extend(part.clone());
        }
    }
    json
}
