//! Devices with nothing to hold: whoever opens them has them. They are looked at, and that is all.

use std::fs::File;

use csm::uri::{Scheme, Uri};
use csm_tools::fail::system;
use serde_json::{Value, json};

use crate::failure::Done;
use crate::run::Run;

/// Says whether a region can be opened on it.
pub(super) fn attach(run: &Run, uri: &Uri) -> Done {
    let what = match uri.scheme() {
        Scheme::Dax => {
            let path = run.path(uri.name());
            let opened = File::options().read(true).write(true).open(&path);
            opened.map_err(|e| {
                system(format_args!("open({path:?}, O_RDWR)"), &e)
                    .hint("csm-bringup probe says what dax devices there are")
            })?;
            "the kernel maps it for whoever may open it"
        }
        Scheme::File => "it is a file, mapped by whoever opens the region",
        _ => "it is memory of this host, made by csm create",
    };
    run.print(json!({ "uri": uri.to_string(), "held": false, "why": what }), |out| {
        out.line(format_args!("{}: nothing to attach: {what}", uri.label()))
    })
}

/// A JSON value as people read it.
pub(crate) fn text(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), ToOwned::to_owned)
}
